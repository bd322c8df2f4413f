#include "agent/hydrate/output_pipe.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "agent/base/error.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace output_pipe_test {

TEST_CASE("the end of what is written is kept, and nobody waits") {
    const TemporaryDirectory directory;
    OutputPipe pipe(directory / "p", 1000);
    CHECK_THROWS_AS(OutputPipe(directory / "p", 1), Error);
    for (int writer = 0; writer < 3; ++writer) {
        const FileDescriptor out(::open(pipe.path().c_str(), O_WRONLY | O_CLOEXEC));
        const std::string much(400'000, static_cast<char>('a' + writer));  // more than a pipe holds
        for (std::size_t at = 0; at < much.size();) {
            const ssize_t written = ::write(out.get(), much.data() + at, much.size() - at);
            REQUIRE(written > 0);
            at += static_cast<std::size_t>(written);
        }
    }
    const FileDescriptor out(::open(pipe.path().c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(::write(out.get(), "end", 3) == 3);
    CHECK(pipe.finish() == std::string(997, 'c') + "end");
}

TEST_CASE("a pipe that nobody used is empty and goes") {
    const TemporaryDirectory directory;
    {
        OutputPipe pipe(directory / "p", 10);
        CHECK(pipe.finish().empty());
    }
    CHECK_FALSE(std::filesystem::exists(directory / "p"));
}

}  // namespace output_pipe_test

}  // namespace prebake::hydrate
