#include "agent/containerd/content_writer.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/containerd/content.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::containerd::content_writer_test {

using fake::content::COMMIT;
using fake::content::STAT;
using fake::content::WRITE;
using fake::content::WriteContentRequest;
using fake::content::WriteContentResponse;
using grpc::Status;
using grpc::StatusCode;
using tests::contains;
using tests::thrown_by;
using WriteStream = fake::ContentService::WriteStream;

constexpr std::size_t kMiB = 1 << 20;
const std::string kBytes(2 * kMiB + 5, 'x');

oci::Descriptor blob_of(std::string_view bytes) {
    return {.media_type = "application/vnd.oci.image.layer.v1.tar",
            .digest = oci::Digest::of(bytes),
            .size = bytes.size(),
            .annotations = {},
            .platform = {}};
}

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

/// An ingest of the fake containerd, and what it does wrong.
struct Ingest {
    std::int64_t offset = 0;        ///< where it starts
    Status opening = Status::OK;    ///< another status ends the stream at once
    Status ending = Status::OK;     ///< of the commit
    std::optional<int> ends_after;  ///< so many messages, without a status of its own
    bool is_offset_wrong = false;
    bool is_commit_silent = false;

    std::mutex mutex = {};
    std::vector<WriteContentRequest> requests = {};  ///< without their data
    std::string data = {};

    Status serve(WriteStream& stream) {
        if (!opening.ok()) return opening;
        WriteContentRequest request;
        for (int count = 0; stream.Read(&request); ++count) {
            if (ends_after == count) return Status::OK;
            const std::lock_guard lock(mutex);
            data += request.data();
            offset += static_cast<std::int64_t>(request.data().size());
            request.clear_data();
            requests.push_back(request);
            WriteContentResponse response;
            response.set_action(request.action());
            response.set_offset(is_offset_wrong && request.action() == WRITE ? 1 : offset);
            if (request.action() == COMMIT && (is_commit_silent || !ending.ok())) return ending;
            stream.Write(response);
        }
        return Status::OK;
    }
};

struct Fixture {
    Ingest ingest;
    fake::Containerd server;
    std::stop_source stop;
    Connection connection{server.socket(), stop.get_token()};
    Content content{connection, {.ns = "ns", .lease = {}}};
    std::vector<std::string> calls;  ///< besides Write

    Fixture() {
        server.content.write = [this](WriteStream& stream) { return ingest.serve(stream); };
        server.content.update = [this](auto&, const auto& request, auto&) {
            calls.push_back("update " + request.info().labels().at("a"));
            return Status::OK;
        };
        server.content.abort = [this](auto&, const auto& request, auto&) {
            calls.push_back("abort " + request.ref());
            return Status::OK;
        };
    }
    ~Fixture() { server.stop(); }

    std::unique_ptr<BlobWriter> open() { return content.open_writer("ref", blob_of(kBytes)); }
    /// The whole blob, in one go.
    void store() {
        const auto writer = open();
        REQUIRE(writer);
        writer->write(bytes_of(kBytes).subspan(writer->offset()));
        writer->commit({{"a", "1"}});
    }
};

TEST_CASE("a blob is written in messages and committed") {
    Fixture at;
    at.store();
    CHECK(at.ingest.data == kBytes);
    REQUIRE(at.ingest.requests.size() == 5);
    const WriteContentRequest& first = at.ingest.requests[0];
    CHECK(first.action() == STAT);
    CHECK(first.ref() == "ref");
    CHECK(first.expected() == oci::Digest::of(kBytes).str());
    CHECK(first.total() == static_cast<std::int64_t>(kBytes.size()));
    for (std::size_t i = 1; i <= 3; ++i) {
        CHECK(at.ingest.requests[i].action() == WRITE);
        CHECK(at.ingest.requests[i].offset() == static_cast<std::int64_t>((i - 1) * kMiB));
    }
    const WriteContentRequest& last = at.ingest.requests[4];
    CHECK(last.action() == COMMIT);
    CHECK(last.offset() == static_cast<std::int64_t>(kBytes.size()));
    CHECK(last.expected() == first.expected());
    CHECK(last.labels().at("a") == "1");
    CHECK(at.calls.empty());
}

TEST_CASE("an ingest is resumed where it ends") {
    Fixture at;
    at.ingest.offset = kMiB + 1;
    at.store();
    CHECK(at.ingest.data.size() == kMiB + 4);
    CHECK(at.ingest.requests[1].offset() == static_cast<std::int64_t>(kMiB) + 1);
}

TEST_CASE("a complete ingest only needs a commit") {
    Fixture at;
    at.ingest.offset = static_cast<std::int64_t>(kBytes.size());
    const auto writer = at.open();
    REQUIRE(writer);
    CHECK(writer->offset() == kBytes.size());
    CHECK_NOTHROW(writer->commit({}));
    CHECK(at.ingest.data.empty());
}

TEST_CASE("there is no writer for a blob that exists") {
    Fixture at;
    at.ingest.opening = Status(StatusCode::ALREADY_EXISTS, "");
    CHECK_FALSE(at.open());
}

TEST_CASE("opening an ingest fails with containerd's status") {
    Fixture at;
    at.ingest.opening = Status(StatusCode::NOT_FOUND, "no such lease");
    const Error error = thrown_by([&] { at.open(); });
    CHECK(error.code() == Errc::not_found);
    CHECK(contains(error.message(), "no such lease"));
}

TEST_CASE("a stream that ends without a status of its own is an error") {
    Fixture at;
    SUBCASE("before the first response") {
        at.ingest.ends_after = 0;
    }
    SUBCASE("while data is sent") {
        at.ingest.ends_after = 2;
    }
    SUBCASE("before the response to the commit") {
        at.ingest.is_commit_silent = true;
    }
    const Error error = thrown_by([&] { at.store(); });
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "containerd ended the stream early"));
}

TEST_CASE("a position that another client has changed is a conflict") {
    Fixture at;
    at.ingest.is_offset_wrong = true;
    const Error error = thrown_by([&] { at.store(); });
    CHECK(error.code() == Errc::conflict);
    CHECK(contains(error.message(), "is at byte 1 instead of " + std::to_string(kMiB)));
}

TEST_CASE("more bytes than declared are not sent") {
    Fixture at;
    const auto writer = at.open();
    writer->write(bytes_of(kBytes));
    CHECK(thrown_by([&] { writer->write(bytes_of("x")); }).code() == Errc::corrupt);
}

TEST_CASE("a commit by another client is success, and gets our labels") {
    Fixture at;
    at.ingest.ending = Status(StatusCode::ALREADY_EXISTS, "");
    at.store();
    CHECK(at.calls == std::vector<std::string>{"update 1"});
}

TEST_CASE("an ingest with wrong bytes is aborted") {
    Fixture at;
    at.ingest.ending = Status(StatusCode::FAILED_PRECONDITION, "unexpected commit digest");
    SUBCASE("the abort works") {
        const Error error = thrown_by([&] { at.store(); });
        CHECK(error.code() == Errc::corrupt);
        CHECK(contains(error.message(), "unexpected commit digest"));
        CHECK(at.calls == std::vector<std::string>{"abort ref"});
    }
    SUBCASE("the abort fails too") {
        at.server.content.abort = [](auto&, const auto&, auto&) {
            return Status(StatusCode::UNKNOWN, "disk broken");
        };
        const Error error = thrown_by([&] { at.store(); });
        CHECK(error.code() == Errc::corrupt);
        CHECK(contains(error.message(), "unexpected commit digest"));
        CHECK(contains(error.message(), "disk broken"));
    }
}

TEST_CASE("another error of the commit keeps the ingest") {
    Fixture at;
    at.ingest.ending = Status(StatusCode::UNKNOWN, "write x: no space left on device");
    CHECK(thrown_by([&] { at.store(); }).code() == Errc::no_space);
    CHECK(at.calls.empty());
}

TEST_CASE("a locked ingest is opened when it is free") {
    Fixture at;
    std::atomic<int> opened = 0;
    at.server.content.write = [&](WriteStream& stream) {
        if (++opened == 1) return Status(StatusCode::UNAVAILABLE, "ref locked");
        return at.ingest.serve(stream);
    };
    SUBCASE("the other client is at work") {
        at.server.content.status = [](auto&, const auto&, auto& response) {
            response.mutable_status()->set_offset(100);
            return Status::OK;
        };
    }
    SUBCASE("the other client has just finished") {
        at.server.content.status = [](auto&, const auto&, auto&) {
            return Status(StatusCode::NOT_FOUND, "");
        };
    }
    CHECK(at.open());
    CHECK(opened == 2);
}

TEST_CASE("the wait for a locked ingest ends with an error of containerd") {
    Fixture at;
    at.ingest.opening = Status(StatusCode::UNAVAILABLE, "ref locked");
    at.server.content.status = [](auto&, const auto&, auto&) {
        return Status(StatusCode::UNKNOWN, "broken");
    };
    CHECK(thrown_by([&] { at.open(); }).code() == Errc::io);
}

TEST_CASE("a stop request ends the wait for a locked ingest") {
    Fixture at;
    at.ingest.opening = Status(StatusCode::UNAVAILABLE, "ref locked");
    std::promise<void> waits;
    at.server.content.status = [&, first = true](auto&, const auto&, auto&) mutable {
        if (std::exchange(first, false)) waits.set_value();
        return Status::OK;
    };
    auto writer = std::async(std::launch::async, [&] { return thrown_by([&] { at.open(); }); });
    waits.get_future().wait();
    at.stop.request_stop();
    CHECK(writer.get().code() == Errc::cancelled);
}

TEST_CASE("the wait for another writer lasts as long as it makes progress") {
    struct Row {
        const char* name;
        std::int64_t offset;
        int second;
        bool keeps_waiting;
    };
    // One story, in order.
    const Row story[] = {
        {"just started", 0, 0, true},
        {"nothing yet", 0, 59, true},
        {"the first bytes, just in time", 1, 59, true},
        {"no more for a while", 1, 118, true},
        {"restarted, which is also progress", 0, 119, true},
        {"nearly a minute", 0, 178, true},
        {"a minute", 0, 179, false},
    };
    const auto begin = LockWait::Clock::now();
    LockWait wait(begin);
    for (const Row& row : story) {
        CAPTURE(row.name);
        CHECK(wait.keeps_waiting(begin + std::chrono::seconds(row.second), row.offset) ==
              row.keeps_waiting);
    }
}

TEST_CASE("a small blob is stored by one message") {
    Fixture at;
    at.content.put("ref", blob_of("{}"), "{}", {{"a", "1"}});
    CHECK(at.ingest.data == "{}");
    REQUIRE(at.ingest.requests.size() == 1);
    CHECK(at.ingest.requests[0].action() == COMMIT);
    CHECK(at.ingest.requests[0].offset() == 0);
    CHECK(at.ingest.requests[0].expected() == oci::Digest::of("{}").str());
    CHECK(at.ingest.requests[0].labels().at("a") == "1");
}

TEST_CASE("a small blob that exists gets the labels") {
    Fixture at;
    at.ingest.opening = Status(StatusCode::ALREADY_EXISTS, "");
    at.content.put("ref", blob_of("{}"), "{}", {{"a", "1"}});
    CHECK(at.calls == std::vector<std::string>{"update 1"});
}

TEST_CASE("a larger blob is stored by a writer, which resumes") {
    Fixture at;
    at.ingest.offset = 5;
    at.content.put("ref", blob_of(kBytes), kBytes, {});
    CHECK(at.ingest.data.size() == kBytes.size() - 5);
}

}  // namespace prebake::containerd::content_writer_test
