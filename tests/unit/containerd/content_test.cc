#include "agent/containerd/content.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/fake_containerd.h"

namespace prebake::containerd {
namespace {

using grpc::Status;
using grpc::StatusCode;
using tests::contains;
using tests::thrown_by;

const oci::Digest kDigest = oci::Digest::of("a blob");

struct Fixture {
    fake::Containerd server;
    Connection connection{server.socket(), {}};
    Content content{connection, {.ns = "ns", .lease = {}}};
};

TEST_CASE("the information about a blob") {
    Fixture at;
    at.server.content.info = [](auto&, const auto& request, auto& response) {
        if (request.digest() != kDigest.str()) return Status(StatusCode::NOT_FOUND, "");
        response.mutable_info()->set_digest(kDigest.str());
        response.mutable_info()->set_size(6);
        response.mutable_info()->mutable_created_at()->set_seconds(100);
        response.mutable_info()->mutable_updated_at()->set_seconds(200);
        (*response.mutable_info()->mutable_labels())["a"] = "b";
        return Status::OK;
    };
    const auto info = at.content.info(kDigest);
    REQUIRE(info);
    CHECK(info->digest == kDigest);
    CHECK(info->size == 6);
    CHECK(info->labels == Labels{{"a", "b"}});
    CHECK(info->created_at == std::chrono::system_clock::from_time_t(100));
    CHECK(at.content.touched_at(kDigest) == std::chrono::system_clock::from_time_t(200));
    CHECK_FALSE(at.content.info(oci::Digest::of("another")));
    CHECK_FALSE(at.content.touched_at(oci::Digest::of("another")));
}

TEST_CASE("a list of blobs comes in parts") {
    Fixture at;
    std::string odd;
    Status end = Status::OK;
    at.server.content.list = [&](auto&, const auto&, auto& stream) {
        for (const std::string& digest : {kDigest.str(), odd}) {
            fake::content::ListContentResponse part;
            if (!digest.empty()) part.add_info()->set_digest(digest);
            stream.Write(part);
        }
        return end;
    };
    SUBCASE("whole") {
        odd = oci::Digest::of("another").str();
        CHECK(at.content.list().size() == 2);
    }
    SUBCASE("a digest of another algorithm is skipped") {
        odd = "sha512:" + std::string(128, 'a');
        REQUIRE(at.content.list().size() == 1);
        CHECK(at.content.list()[0].digest == kDigest);
    }
    SUBCASE("a malformed digest is an error") {
        odd = "nonsense";
        CHECK(thrown_by([&] { at.content.list(); }).code() == Errc::corrupt);
    }
    SUBCASE("a stream that fails is an error") {
        end = Status(StatusCode::UNKNOWN, "broken");
        const Error error = thrown_by([&] { at.content.list(); });
        CHECK(error.code() == Errc::io);
        CHECK(error.message() == "cannot list the blobs of namespace ns: broken");
    }
}

/// Serves `messages`, then ends with `end`.
auto serve(std::vector<std::string> messages, Status end = Status::OK) {
    return [messages = std::move(messages), end](auto&, const auto&, auto& stream) {
        for (const std::string& data : messages) {
            fake::content::ReadContentResponse message;
            message.set_data(data);
            stream.Write(message);
        }
        return end;
    };
}

std::string read_some(Source& source, std::size_t size) {
    std::string text(size, '\0');
    text.resize(source.read(std::as_writable_bytes(std::span(text))));
    return text;
}

TEST_CASE("a source joins and splits the messages of the stream") {
    Fixture at;
    at.server.content.read = serve({"abc", "", "d", "efghij"});
    const auto source = at.content.read(kDigest);
    CHECK(read_some(*source, 2) == "ab");
    CHECK(read_some(*source, 3) == "cde");
    CHECK(read_some(*source, 100) == "fghij");
    CHECK(read_some(*source, 100).empty());
}

TEST_CASE("a source starts at the offset") {
    Fixture at;
    std::atomic<std::int64_t> offset = 0;
    at.server.content.read = [&](auto&, const auto& request, auto&) {
        offset = request.offset();
        return Status::OK;
    };
    CHECK(read_some(*at.content.read(kDigest, 7), 1).empty());
    CHECK(offset == 7);
}

TEST_CASE("a source whose stream fails throws") {
    Fixture at;
    at.server.content.read = serve({"abc"}, Status(StatusCode::DATA_LOSS, "bad sector"));
    const auto source = at.content.read(kDigest);
    CHECK(read_some(*source, 3) == "abc");
    const Error error = thrown_by([&] { read_some(*source, 1); });
    CHECK(error.code() == Errc::corrupt);
    CHECK(contains(error.message(), kDigest.str()));
}

TEST_CASE("a source may be destroyed before its end") {
    Fixture at;
    at.server.content.read = [](auto& context, const auto&, auto& stream) {
        fake::content::ReadContentResponse message;
        message.set_data(std::string(1 << 20, 'x'));
        while (!context.IsCancelled()) stream.Write(message);
        return Status::OK;
    };
    CHECK(read_some(*at.content.read(kDigest), 3) == "xxx");
}

TEST_CASE("read_all() has a limit") {
    Fixture at;
    at.server.content.read = serve({"abc", "def"});
    CHECK(at.content.read_all(kDigest, 6) == "abcdef");
    CHECK(thrown_by([&] { at.content.read_all(kDigest, 5); }).code() == Errc::too_large);
}

TEST_CASE("what read_all() returns takes no more memory than it needs") {
    Fixture at;
    at.server.content.read = serve({std::string(1000, 'x')});
    CHECK(at.content.read_all(kDigest, 4 << 20).capacity() < 4096);
}

TEST_CASE("a blob is readable if its last byte is") {
    Fixture at;
    const auto is_readable = [&](std::uint64_t size) {
        return at.content.is_readable({.digest = kDigest, .size = size, .labels = {}});
    };
    std::atomic<std::int64_t> offset = -1;
    at.server.content.read = [&](auto&, const auto& request, auto& stream) {
        offset = request.offset();
        fake::content::ReadContentResponse message;
        message.set_data("x");
        stream.Write(message);
        return Status::OK;
    };
    CHECK(is_readable(10));
    CHECK(offset == 9);
    at.server.content.read = serve({});
    CHECK_FALSE(is_readable(10));
    at.server.content.read = serve({}, Status(StatusCode::NOT_FOUND, ""));
    CHECK_FALSE(is_readable(10));
    CHECK(is_readable(0));
    at.server.content.read = serve({}, Status(StatusCode::UNKNOWN, ""));
    CHECK(thrown_by([&] { is_readable(10); }).code() == Errc::io);
}

TEST_CASE("set_labels() names the labels that it changes") {
    Fixture at;
    fake::content::UpdateRequest seen;
    int calls = 0;
    at.server.content.update = [&](auto&, const auto& request, auto&) {
        seen = request;
        ++calls;
        return Status::OK;
    };
    at.content.set_labels(kDigest, {{"a", "1"}, {"b", ""}});
    CHECK(seen.info().digest() == kDigest.str());
    CHECK(seen.info().labels().at("a") == "1");
    REQUIRE(seen.update_mask().paths_size() == 2);
    CHECK(seen.update_mask().paths(0) == "labels.a");
    CHECK(seen.update_mask().paths(1) == "labels.b");
    at.content.set_labels(kDigest, {});
    CHECK(calls == 1);
}

TEST_CASE("removing a blob or an ingest that does not exist succeeds") {
    Fixture at;
    at.server.content.remove = [](auto&, const auto&, auto&) {
        return Status(StatusCode::NOT_FOUND, "");
    };
    at.server.content.abort = [](auto&, const auto&, auto&) {
        return Status(StatusCode::NOT_FOUND, "");
    };
    CHECK_NOTHROW(at.content.remove(kDigest));
    CHECK_NOTHROW(at.content.abort("ref"));
    at.server.content.remove = [](auto&, const auto&, auto&) {
        return Status(StatusCode::FAILED_PRECONDITION, "in use");
    };
    CHECK(thrown_by([&] { at.content.remove(kDigest); }).code() == Errc::failed_precondition);
}

}  // namespace
}  // namespace prebake::containerd
