// Content.Write: storing blobs.

#include <chrono>
#include <future>
#include <limits>

#include "agent/containerd/content.h"
#include "tests/system/containerd_client/daemon_under_test.h"

namespace prebake::containerd {
namespace {

using test::blob_of;
using test::bytes_of;
using test::error_from;
using test::TestNamespace;
using test::unique_bytes;

constexpr std::size_t kMiB = 1 << 20;

TEST_CASE("a blob of any size is stored and read back") {
    struct Row {
        const char* name;
        std::size_t size;
        std::size_t piece;
    };
    const Row rows[] = {
        {"one byte", 1, 1},
        {"less than a message", kMiB - 1, kMiB},
        {"a message", kMiB, kMiB},
        {"a message and a byte", kMiB + 1, 2 * kMiB},
        {"many messages in one piece", 20 * kMiB + 5, 32 * kMiB},
        {"odd pieces", 3 * kMiB + 7, 65521},
    };
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const std::string bytes = unique_bytes(row.size);
        const auto blob = blob_of(bytes);
        const auto writer = content.open_writer(ingest_ref(blob), blob);
        REQUIRE(writer);
        CHECK(writer->offset() == 0);
        for (std::size_t at = 0; at < row.size; at += row.piece) {
            writer->write(bytes_of(bytes).subspan(at, std::min(row.piece, row.size - at)));
            CHECK(writer->offset() == std::min(row.size, at + row.piece));
        }
        writer->commit({{"test/label", "value"}});
        const auto info = content.info(blob.digest);
        REQUIRE(info);
        CHECK(info->size == row.size);
        CHECK(info->labels == Labels{{"test/label", "value"}});
        CHECK(content.read_all(blob.digest, row.size) == bytes);
        CHECK_FALSE(content.open_writer(ingest_ref(blob), blob));
    }
}

TEST_CASE("the next writer resumes after the acknowledged bytes") {
    const std::string bytes = unique_bytes(6 * kMiB);
    const auto blob = blob_of(bytes);
    TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    std::uint64_t least = 0;
    std::uint64_t most = 0;

    SUBCASE("after the writer was dropped") {
        const auto writer = content.open_writer("resumed", blob);
        REQUIRE(writer);
        writer->write(bytes_of(bytes).first(4 * kMiB + 123));
        least = most = writer->offset();
    }
    SUBCASE("after the call was cancelled") {
        std::stop_source stop;
        const Connection stopped(test::socket_under_test(), stop.get_token());
        const auto writer = Content(stopped, ns.scope()).open_writer("resumed", blob);
        REQUIRE(writer);
        writer->write(bytes_of(bytes).first(4 * kMiB));
        // One message may not have been acknowledged yet.
        most = writer->offset();
        least = most - kMiB;
        stop.request_stop();
    }
    const auto writer = content.open_writer("resumed", blob);
    REQUIRE(writer);
    CHECK(writer->offset() >= least);
    CHECK(writer->offset() <= most);
    writer->write(bytes_of(bytes).subspan(writer->offset()));
    writer->commit({});
    CHECK(content.info(blob.digest));
}

TEST_CASE("an ingest for another size starts again at 0") {
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    const std::string first = unique_bytes(100);
    content.open_writer("reused", blob_of(first))->write(bytes_of(first));
    const std::string second = unique_bytes(200);
    const auto writer = content.open_writer("reused", blob_of(second));
    REQUIRE(writer);
    CHECK(writer->offset() == 0);
}

TEST_CASE("wrong bytes are refused and not resumed") {
    const std::string bytes = unique_bytes(2 * kMiB);
    auto blob = blob_of(bytes);
    std::string sent = bytes;
    SUBCASE("one bit is wrong") {
        sent.back() = static_cast<char>(sent.back() ^ 1);
    }
    SUBCASE("the end is missing") {
        sent.pop_back();
    }
    SUBCASE("all of it is missing") {
        sent.clear();
    }
    SUBCASE("the declared size is wrong") {
        ++blob.size;
    }

    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    const auto writer = content.open_writer("wrong", blob);
    REQUIRE(writer);
    writer->write(bytes_of(sent));
    const auto message = error_from(Errc::corrupt, [&] { writer->commit({}); });
    CHECK(message.find(blob.digest.str()) != std::string::npos);
    CHECK_FALSE(content.info(blob.digest));
    const auto next = content.open_writer("wrong", blob);
    REQUIRE(next);
    CHECK(next->offset() == 0);
}

TEST_CASE("more bytes than declared are refused before they are sent") {
    const std::string bytes = unique_bytes(100);
    auto blob = blob_of(bytes);
    blob.size = 60;
    const TestNamespace ns;
    const auto writer = Content(ns.connection(), ns.scope()).open_writer("longer", blob);
    REQUIRE(writer);
    writer->write(bytes_of(bytes).first(60));
    error_from(Errc::corrupt, [&] { writer->write(bytes_of(bytes).subspan(60)); });
}

TEST_CASE("a blob of another namespace is adopted without its bytes, with its own labels") {
    const std::string bytes = unique_bytes(3 * kMiB);
    const auto blob = blob_of(bytes);
    const TestNamespace first;
    Content(first.connection(), first.scope()).put("adopted", blob, bytes, {{"of", "first"}});
    const TestNamespace second;
    const Content content(second.connection(), second.scope());
    SUBCASE("by a writer") {
        const auto writer = content.open_writer("adopted", blob);
        REQUIRE(writer);
        CHECK(writer->offset() == blob.size);
        writer->commit({{"of", "second"}});
    }
    SUBCASE("by put") {
        content.put("adopted", blob, bytes, {{"of", "second"}});
    }
    const auto info = content.info(blob.digest);
    REQUIRE(info);
    CHECK(info->labels == Labels{{"of", "second"}});
    CHECK(content.read_all(blob.digest, bytes.size()) == bytes);
}

TEST_CASE("a commit by another client is success, and gets our labels") {
    const std::string bytes = unique_bytes(1000);
    const auto blob = blob_of(bytes);
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    const auto slower = content.open_writer("slower", blob);
    REQUIRE(slower);
    slower->write(bytes_of(bytes));
    content.put("faster", blob, bytes, {{"by", "faster"}});
    slower->commit({{"and", "slower"}});
    CHECK(content.info(blob.digest)->labels == Labels{{"and", "slower"}, {"by", "faster"}});
}

TEST_CASE("a reference is opened when the other client has finished") {
    const std::string bytes = unique_bytes(1000);
    const auto blob = blob_of(bytes);
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    auto holder = content.open_writer("locked", blob);
    REQUIRE(holder);
    holder->write(bytes_of(bytes).first(600));

    std::stop_source stop;
    const Connection waiting(test::socket_under_test(), stop.get_token());
    auto waiter = std::async(std::launch::async, [&] {
        return Content(waiting, ns.scope()).open_writer("locked", blob);
    });
    REQUIRE(waiter.wait_for(std::chrono::seconds(1)) == std::future_status::timeout);

    SUBCASE("until it commits the blob") {
        holder->write(bytes_of(bytes).subspan(600));
        holder->commit({});
        CHECK_FALSE(waiter.get());
    }
    SUBCASE("until it goes away") {
        holder.reset();
        const auto writer = waiter.get();
        REQUIRE(writer);
        CHECK(writer->offset() == 600);
    }
    SUBCASE("until a stop is requested") {
        stop.request_stop();
        REQUIRE(waiter.wait_for(std::chrono::minutes(2)) == std::future_status::ready);
        error_from(Errc::cancelled, [&] { waiter.get(); });
    }
}

TEST_CASE("put") {
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    // One message; several messages.
    for (const std::size_t size : {std::size_t{2000}, 5 * kMiB}) {
        CAPTURE(size);
        const std::string bytes = unique_bytes(size);
        const auto blob = blob_of(bytes);

        // Other bytes are refused, and none of them is kept.
        error_from(Errc::corrupt, [&] { content.put("put", blob, unique_bytes(size), {}); });
        CHECK_FALSE(content.info(blob.digest));
        CHECK(content.open_writer("put", blob)->offset() == 0);

        // It replaces an unfinished ingest.
        content.open_writer("put", blob)->write(bytes_of(bytes).first(size / 2));
        content.put("put", blob, bytes, {{"a", "1"}});
        CHECK(content.read_all(blob.digest, size) == bytes);

        // Again, it only adds labels.
        content.put("put", blob, bytes, {{"b", "2"}});
        CHECK(content.info(blob.digest)->labels == Labels{{"a", "1"}, {"b", "2"}});
    }
}

TEST_CASE("abort removes an ingest, and succeeds if there is none") {
    const std::string bytes = unique_bytes(1000);
    const TestNamespace ns;
    const Content content(ns.connection(), ns.scope());
    content.abort("never opened");
    content.open_writer("opened", blob_of(bytes))->write(bytes_of(bytes));
    content.abort("opened");
    CHECK(content.open_writer("opened", blob_of(bytes))->offset() == 0);
}

TEST_CASE("a lease that does not exist") {
    const std::string bytes = unique_bytes(1000);
    const TestNamespace ns;
    const Content content(ns.connection(), Scope{.ns = ns.scope().ns, .lease = "gone"});
    const auto message =
        error_from(Errc::not_found, [&] { content.open_writer("leased", blob_of(bytes)); });
    CHECK(message.find("lease") != std::string::npos);
    error_from(Errc::not_found, [&] { content.put("leased", blob_of(bytes), bytes, {}); });
}

}  // namespace
}  // namespace prebake::containerd
