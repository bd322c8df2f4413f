#include "agent/hydrate/read_queue.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <functional>
#include <limits>
#include <set>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace read_queue_test {

using namespace std::chrono_literals;

constexpr std::size_t kFileBytes = 4UL << 20;

struct Implementation {
    const char* name;
    std::function<std::unique_ptr<ReadQueue>(std::size_t)> make;
};

/// io_uring is left out only where the machine refuses it, which it says by an exception.
std::vector<Implementation> implementations() {
    std::vector<Implementation> all{{"threads", make_thread_queue}};
    try {
        make_uring_queue(8);
        all.push_back({"io_uring", make_uring_queue});
    } catch (const Error& error) {
        MESSAGE("io_uring is refused here: " << error.what());
    }
    return all;
}

ReadDone next_of(ReadQueue& queue) {
    const auto done = queue.wait(30s);
    REQUIRE(done);
    return *done;
}

TEST_CASE("many reads end, each with its tag") {
    const TemporaryDirectory directory;
    std::ofstream(directory / "file") << std::string(kFileBytes, 'x');
    for (const Implementation& implementation : implementations()) {
        CAPTURE(implementation.name);
        const FileDescriptor file(::open((directory / "file").c_str(), O_RDONLY | O_CLOEXEC));
        REQUIRE(file);
        const auto queue = implementation.make(64);
        CHECK(queue->name() == implementation.name);
        std::set<std::uint64_t> left;
        for (std::uint64_t tag = 0; tag < 200; ++tag) {
            if (left.size() == 64) left.erase(next_of(*queue).tag);
            left.insert(tag);
            queue->submit(file.get(), tag % 8 * kMaxReadBytes, kMaxReadBytes, tag);
        }
        while (!left.empty()) {
            const ReadDone done = next_of(*queue);
            CHECK(done.error == 0);
            CHECK(done.bytes == kMaxReadBytes);
            CHECK(done.latency.count() > 0);
            CHECK(left.erase(done.tag) == 1);
        }
        CHECK_FALSE(queue->wait(0ns));
    }
}

TEST_CASE("the end of a file and errors are results") {
    const TemporaryDirectory directory;
    std::ofstream(directory / "file") << std::string(6000, 'x');
    for (const Implementation& implementation : implementations()) {
        CAPTURE(implementation.name);
        const FileDescriptor file(::open((directory / "file").c_str(), O_RDONLY | O_CLOEXEC));
        const FileDescriptor write_only(::open((directory / "file").c_str(), O_WRONLY | O_CLOEXEC));
        const auto queue = implementation.make(8);
        queue->submit(file.get(), 4096, 4096, 1);
        CHECK(next_of(*queue).bytes == 6000 - 4096);
        queue->submit(file.get(), 8192, 4096, 2);
        const ReadDone beyond = next_of(*queue);
        CHECK(beyond.error == 0);
        CHECK(beyond.bytes == 0);
        queue->submit(write_only.get(), 0, 4096, 3);
        CHECK(next_of(*queue).error == EBADF);
    }
}

TEST_CASE("a read that never ends keeps neither others nor the queue from ending") {
    const TemporaryDirectory directory;
    std::ofstream(directory / "file") << std::string(kFileBytes, 'x');
    for (const Implementation& implementation : implementations()) {
        CAPTURE(implementation.name);
        const FileDescriptor file(::open((directory / "file").c_str(), O_RDONLY | O_CLOEXEC));
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        const FileDescriptor empty(ends[0]);
        const FileDescriptor writer(ends[1]);
        {
            const auto queue = implementation.make(8);
            // This offset stands for none, so that a pipe can be read.
            constexpr std::uint64_t kNoOffset = std::numeric_limits<std::uint64_t>::max();
            for (std::uint64_t tag = 0; tag < 3; ++tag) {
                queue->submit(empty.get(), kNoOffset, 4096, tag);
            }
            for (std::uint64_t tag = 100; tag < 120; ++tag) {
                queue->submit(file.get(), 0, kMaxReadBytes, tag);
                CHECK(next_of(*queue).tag == tag);
            }
            CHECK_FALSE(queue->wait(1ms));
        }
    }
}

TEST_CASE("without io_uring there are threads, and the reason") {
    const ChosenQueue chosen = make_read_queue(8);
    REQUIRE(chosen.queue);
    CHECK((chosen.queue->name() == "threads") == !chosen.why_threads.empty());
}

}  // namespace read_queue_test

}  // namespace prebake::hydrate
