#include "agent/bake/blob_feed.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::bake::blob_feed_test {

/// An ingest's file, and the feed about it.
struct Scene {
    TemporaryDirectory directory;
    BlobFeed feed;
    Slots slots{1};
    std::unique_lock<Slots> slot{slots};

    std::unique_ptr<Source> follow(const std::stop_token& stop) { return feed.follow(stop, slot); }
    FileDescriptor file(const std::string& name, const std::string& bytes) {
        std::ofstream(directory.path() / name, std::ios::binary | std::ios::app) << bytes;
        return FileDescriptor(::open((directory.path() / name).c_str(), O_RDONLY | O_CLOEXEC));
    }
    void append(const std::string& name, const std::string& bytes) {
        std::ofstream(directory.path() / name, std::ios::binary | std::ios::app) << bytes;
    }
};

std::string read(Source& source, std::size_t size) {
    std::string text(size, '\0');
    text.resize(source.read(std::as_writable_bytes(std::span(text))));
    return text;
}

Errc code_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.code();
    }
    return Errc::internal;
}

TEST_CASE("a reader gets what has arrived, and waits for the rest") {
    Scene at;
    at.feed.begin(at.file("data", "abc"), 3);
    const auto reader = at.follow({});
    REQUIRE(reader);
    CHECK(read(*reader, 2) == "ab");
    // It asks for more than there is: it gets all of it in the end.
    auto rest = std::async(std::launch::async, [&] { return read(*reader, 10); });
    at.append("data", "def");
    at.feed.advance(5);  // the last byte does not count yet
    at.feed.advance(6);
    at.feed.stored();
    CHECK(rest.get() == "cdef");
    CHECK(read(*reader, 10).empty());
}

TEST_CASE("what comes first of follow() and begin() does not matter") {
    Scene at;
    auto first = std::async(std::launch::async, [&] { return at.follow({}); });
    at.feed.begin(at.file("data", "abc"), 3);
    at.feed.stored();
    const auto reader = first.get();
    // Depending on who was faster, it follows, or it reads what is stored.
    if (reader) CHECK(read(*reader, 10) == "abc");
    CHECK(at.follow({}) == nullptr);
}

TEST_CASE("a blob that cannot be read before it is stored is waited for") {
    Scene at;
    at.feed.begin(std::nullopt, 0);
    auto reader = std::async(std::launch::async, [&] { return at.follow({}); });
    at.feed.advance(5);
    at.feed.stored();
    CHECK(reader.get() == nullptr);
}

TEST_CASE("a reader that waits leaves its slot to others") {
    Scene at;
    at.feed.begin(at.file("data", "abc"), 3);
    const auto reader = at.follow({});
    auto reading = std::async(std::launch::async, [&] { return read(*reader, 6); });
    {
        const std::unique_lock taken(at.slots);
        at.append("data", "def");
        at.feed.advance(6);
    }
    CHECK(reading.get() == "abcdef");
    CHECK(at.slot.owns_lock());
}

TEST_CASE("a download that restarts") {
    Scene at;
    at.feed.begin(at.file("data", "abc"), 3);
    const auto reader = at.follow({});
    CHECK(read(*reader, 1) == "a");
    SUBCASE("in the same file: it is followed on") {
        at.feed.begin(at.file("data", "de"), 5);
        at.feed.stored();
        CHECK(read(*reader, 10) == "bcde");
    }
    SUBCASE("in another file: what was read may be something else") {
        at.feed.begin(at.file("other", "abcde"), 5);
        CHECK(code_of([&] { read(*reader, 1); }) == Errc::failed_precondition);
        CHECK(read(*at.follow({}), 5) == "abcde");
    }
    SUBCASE("in the same file, which was cut") {
        at.feed.begin(at.file("data", ""), 0);
        CHECK(code_of([&] { read(*reader, 1); }) == Errc::failed_precondition);
    }
    SUBCASE("as a stream") {
        at.feed.begin(std::nullopt, 0);
        CHECK(code_of([&] { read(*reader, 1); }) == Errc::failed_precondition);
    }
    SUBCASE("after it had failed") {
        at.feed.failed();
        CHECK(code_of([&] { read(*reader, 1); }) == Errc::failed_precondition);
        CHECK(code_of([&] { at.follow({}); }) == Errc::failed_precondition);
        at.feed.begin(at.file("data", ""), 3);
        CHECK(code_of([&] { read(*reader, 1); }) == Errc::failed_precondition);
        CHECK(read(*at.follow({}), 3) == "abc");
    }
}

TEST_CASE("a file that is shorter than the download says") {
    Scene at;
    at.feed.begin(at.file("data", "abc"), 4);
    const auto reader = at.follow({});
    CHECK(code_of([&] { read(*reader, 4); }) == Errc::failed_precondition);
}

TEST_CASE("a stop ends the waiting") {
    Scene at;
    std::stop_source stop;
    const auto cancelled = [&](const std::function<void()>& work) {
        return std::async(std::launch::async, code_of, work);
    };
    auto opening = cancelled([&] { at.follow(stop.get_token()); });
    stop.request_stop();
    CHECK(opening.get() == Errc::cancelled);
    stop = {};
    at.feed.begin(at.file("data", "abc"), 3);
    const auto reader = at.follow(stop.get_token());
    auto reading = cancelled([&] { read(*reader, 4); });
    stop.request_stop();
    CHECK(reading.get() == Errc::cancelled);
}

}  // namespace prebake::bake::blob_feed_test
