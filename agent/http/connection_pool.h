#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "agent/http/client.h"

namespace prebake::http {

/// Which connections a request can use.
struct ConnectionPlace {
    std::string key;   ///< those of the same key
    std::string host;  ///< the limits count by it: hosts have several keys
};

/// The connections of a client: those that are idle, how many are open, and which requests wait for
/// one. Not thread-safe, and knows nothing of sockets.
template <typename Connection>
class ConnectionPool {
  public:
    /// What a request gets: an idle connection, or the right to open one.
    struct Grant {
        std::unique_ptr<Connection> idle;
        /// Without an idle one: to be held as long as the connection is open. The pool lives
        /// longer.
        std::shared_ptr<const void> slot;
    };
    using Ready = std::function<void(Grant)>;
    using Ticket = std::uint64_t;

    explicit ConnectionPool(const ConnectionLimits& limits) : limits_(limits) {}
    ~ConnectionPool() { clear(); }
    ConnectionPool(const ConnectionPool&) = delete;
    ConnectionPool& operator=(const ConnectionPool&) = delete;

    /// Calls `ready` once: before it returns, or as soon as there is a connection. Who asked for a
    /// host first gets one first. To make room, idle connections are closed.
    Ticket request(const ConnectionPlace& place, Ready ready) {
        const auto oldest = Clock::now() - kIdleTime;
        while (!idle_.empty() && idle_.front().since < oldest) take(idle_.begin());
        waiting_.push_back({++last_ticket_, place, std::move(ready)});
        serve();
        return last_ticket_;
    }

    /// The request no longer waits.
    void give_up(Ticket ticket) {
        waiting_.remove_if([&](const Waiting& each) { return each.ticket == ticket; });
    }

    /// A connection can be used again.
    void put(const ConnectionPlace& place, std::unique_ptr<Connection> connection) {
        idle_.push_back({place, std::move(connection), Clock::now()});
        const auto same_key = [&](const Idle& each) { return each.place.key == place.key; };
        if (std::count_if(idle_.begin(), idle_.end(), same_key) > kIdlePerKey) {
            close_oldest(same_key);
        }
        serve();
    }

    /// Closes the idle connections and forgets the requests that wait.
    void clear() {
        waiting_.clear();
        idle_.clear();
    }

  private:
    using Clock = std::chrono::steady_clock;

    static constexpr std::ptrdiff_t kIdlePerKey = 8;
    static constexpr std::chrono::seconds kIdleTime{60};

    struct Idle {
        ConnectionPlace place;
        std::unique_ptr<Connection> connection;
        Clock::time_point since;
    };
    struct Waiting {
        Ticket ticket;
        ConnectionPlace place;
        Ready ready;
    };

    /// Serves everybody whom it can serve. A host at its limit does not hold up the others.
    void serve() {
        if (std::exchange(is_serving_, true)) return;  // a connection that we closed just now
        for (auto next = waiting_.begin(); next != waiting_.end();) {
            auto grant = grant_for(next->place);
            if (!grant) {
                ++next;
                continue;
            }
            const Ready ready = std::move(next->ready);
            next = waiting_.erase(next);
            ready(std::move(*grant));
        }
        is_serving_ = false;
    }

    std::optional<Grant> grant_for(const ConnectionPlace& place) {
        // The latest one: the server is the least likely to have closed it.
        const auto found = std::find_if(idle_.rbegin(), idle_.rend(), [&](const Idle& each) {
            return each.place.key == place.key;
        });
        if (found != idle_.rend()) {
            return Grant{.idle = take(std::next(found).base()), .slot = {}};
        }
        if (open_at(place.host) >= limits_.per_host) {
            close_oldest([&](const Idle& each) { return each.place.host == place.host; });
        }
        if (open_at(place.host) >= limits_.per_host) return std::nullopt;
        if (open_ >= limits_.total) close_oldest([](const Idle&) { return true; });
        if (open_ >= limits_.total) return std::nullopt;
        ++open_;
        ++open_at_[place.host];
        return Grant{.idle = {},
                     .slot = {this, [this, host = place.host](const void*) { closed(host); }}};
    }

    std::size_t open_at(const std::string& host) const {
        const auto found = open_at_.find(host);
        return found == open_at_.end() ? 0 : found->second;
    }

    template <typename Condition>
    void close_oldest(Condition condition) {
        const auto found = std::find_if(idle_.begin(), idle_.end(), condition);
        if (found != idle_.end()) take(found);
    }

    /// Not destroyed inside of the list: closed() uses the list, too.
    std::unique_ptr<Connection> take(typename std::list<Idle>::iterator idle) {
        auto connection = std::move(idle->connection);
        idle_.erase(idle);
        return connection;
    }

    void closed(const std::string& host) {
        --open_;
        const auto found = open_at_.find(host);
        if (--found->second == 0) open_at_.erase(found);
        serve();
    }

    ConnectionLimits limits_;
    std::size_t open_ = 0;
    std::map<std::string, std::size_t> open_at_;
    bool is_serving_ = false;
    Ticket last_ticket_ = 0;
    std::list<Waiting> waiting_;  ///< in the order of their requests
    std::list<Idle> idle_;        ///< the oldest one first
};

}  // namespace prebake::http
