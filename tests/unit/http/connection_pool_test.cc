#include "agent/http/connection_pool.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace prebake::http {
namespace {

struct FakeConnection {
    std::shared_ptr<const void> slot;
    std::string name;
};
using FakePool = ConnectionPool<FakeConnection>;

/// A user of a pool who opens a connection with each right that it gets.
class PoolUser {
  public:
    PoolUser(FakePool& pool, std::string key, std::string host)
        : pool_(pool), place_{.key = std::move(key), .host = std::move(host)} {
        ticket_ = pool.request(place_, [this](FakePool::Grant grant) {
            is_reused_ = grant.idle != nullptr;
            connection_ = std::move(grant.idle);
            if (!connection_) connection_ = std::make_unique<FakeConnection>();
            if (grant.slot) connection_->slot = std::move(grant.slot);
        });
    }

    bool has_one() const { return connection_ != nullptr; }
    bool is_reused() const { return is_reused_; }
    FakeConnection& connection() { return *connection_; }
    void put_back() { pool_.put(place_, std::move(connection_)); }
    void close() { connection_.reset(); }
    void give_up() { pool_.give_up(ticket_); }

  private:
    FakePool& pool_;
    ConnectionPlace place_;
    FakePool::Ticket ticket_;
    std::unique_ptr<FakeConnection> connection_;
    bool is_reused_ = false;
};

TEST_CASE("an idle connection serves requests with its key, the latest one first") {
    FakePool pool({.per_host = 4, .total = 4});
    PoolUser first(pool, "k", "h");
    PoolUser second(pool, "k", "h");
    CHECK_FALSE(first.is_reused());
    first.connection().name = "first";
    second.connection().name = "second";
    first.put_back();
    second.put_back();
    PoolUser other(pool, "other key", "h");
    CHECK_FALSE(other.is_reused());
    PoolUser third(pool, "k", "h");
    CHECK(third.is_reused());
    CHECK(third.connection().name == "second");
}

TEST_CASE("a host at its limit: requests are served in their order") {
    FakePool pool({.per_host = 2, .total = 10});
    PoolUser a(pool, "k", "h");
    PoolUser b(pool, "k", "h");
    PoolUser c(pool, "k", "h");
    PoolUser d(pool, "other key", "h");
    PoolUser e(pool, "k", "other host");
    CHECK(b.has_one());
    CHECK_FALSE(c.has_one());
    CHECK_FALSE(d.has_one());
    CHECK(e.has_one());
    a.put_back();
    CHECK(c.is_reused());
    CHECK_FALSE(d.has_one());
    b.close();
    CHECK(d.has_one());
    CHECK_FALSE(d.is_reused());
}

TEST_CASE("the limit in total") {
    FakePool pool({.per_host = 10, .total = 2});
    PoolUser a(pool, "a", "a");
    PoolUser b(pool, "b", "b");
    PoolUser c(pool, "c", "c");
    PoolUser d(pool, "d", "d");
    CHECK(b.has_one());
    CHECK_FALSE(c.has_one());
    b.close();
    CHECK(c.has_one());
    CHECK_FALSE(d.has_one());
    a.close();
    CHECK(d.has_one());
}

TEST_CASE("idle connections make room") {
    FakePool pool({.per_host = 2, .total = 3});
    PoolUser a(pool, "a", "h");
    PoolUser b(pool, "b", "h");
    const std::weak_ptr<const void> first = a.connection().slot;
    const std::weak_ptr<const void> second = b.connection().slot;
    a.put_back();
    b.put_back();
    PoolUser c(pool, "c", "h");  // the host's limit: the older one is closed
    CHECK(c.has_one());
    CHECK(first.expired());
    CHECK_FALSE(second.expired());
    PoolUser d(pool, "d", "other");
    CHECK(d.has_one());
    CHECK_FALSE(second.expired());
    PoolUser e(pool, "e", "third");  // the limit in total
    CHECK(e.has_one());
    CHECK(second.expired());
    PoolUser f(pool, "f", "fourth");
    CHECK_FALSE(f.has_one());
    e.put_back();  // a connection that becomes idle makes room for others, too
    CHECK(f.has_one());
}

TEST_CASE("who gives up is not served") {
    FakePool pool({.per_host = 1, .total = 1});
    PoolUser a(pool, "k", "h");
    PoolUser b(pool, "k", "h");
    PoolUser c(pool, "k", "h");
    b.give_up();
    a.put_back();
    CHECK_FALSE(b.has_one());
    CHECK(c.is_reused());
}

TEST_CASE("at most eight connections of a key stay idle") {
    FakePool pool({.per_host = 20, .total = 20});
    std::vector<std::weak_ptr<const void>> slots;
    {
        std::vector<std::unique_ptr<PoolUser>> users;
        for (int i = 0; i < 12; ++i) users.push_back(std::make_unique<PoolUser>(pool, "k", "h"));
        for (const auto& user : users) slots.push_back(user->connection().slot);
        for (const auto& user : users) user->put_back();
    }
    for (std::size_t i = 0; i < slots.size(); ++i) CHECK(slots[i].expired() == (i < 4));
    pool.clear();
    for (const auto& slot : slots) CHECK(slot.expired());
}

}  // namespace
}  // namespace prebake::http
