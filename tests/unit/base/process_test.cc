#include "agent/base/process.h"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace prebake {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

Command shell(const std::string& script) {
    return {.arguments = {"sh", "-c", script}};
}

TEST_CASE("the output and the status of a program") {
    struct Row {
        const char* name;
        const char* script;
        int status;
        const char* output;
    };
    const Row rows[] = {
        {"success", "echo out; echo err >&2", 0, "out\nerr\n"},
        {"failure", "echo no; exit 7", 7, "no\n"},
        {"a signal, as a shell shows it", "kill -KILL $$", 137, ""},
        {"standard input is empty", "cat; echo done", 0, "done\n"},
        {"SIGPIPE and SIGTERM are not ignored", "trap - PIPE; kill -PIPE $$", 141, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const CommandResult result = run_command(shell(row.script), {});
        CHECK(result.status == row.status);
        CHECK(result.output == row.output);
    }
}

TEST_CASE("the environment is ours with the additions") {
    Command command = shell("echo \"$PREBAKE_A $PREBAKE_B ${PATH:+path}\"");
    command.environment = {{"PREBAKE_A", "a b"}, {"PREBAKE_B", "=c"}};
    CHECK(run_command(command, {}).output == "a b =c path\n");
}

TEST_CASE("output past the limit is read and dropped") {
    Command command = shell("head -c 1000000 /dev/zero | tr '\\0' x; exit 3");
    command.output_limit = 10;
    const CommandResult result = run_command(command, {});
    CHECK(result.output == "xxxxxxxxxx");
    CHECK(result.status == 3);
}

TEST_CASE("a program that does not exist") {
    const auto error =
        tests::thrown_by([] { run_command({.arguments = {"no-such-program"}}, {}); });
    CHECK(error.code() == Errc::not_found);
    CHECK(error.message().find("no-such-program") != std::string::npos);
    CHECK_FALSE(is_program("no-such-program"));
    CHECK_FALSE(is_program("/etc/passwd"));
    CHECK(is_program("sh"));
    CHECK(is_program("/bin/sh"));
}

TEST_CASE("a program that takes too long is killed with its group") {
    const TemporaryDirectory directory;
    const std::string survivor = directory.path() / "survivor";
    Command command = shell("sleep 600 & wait; touch '" + survivor + "'");
    command.time_limit = milliseconds(50);
    const auto began = steady_clock::now();
    const auto error = tests::thrown_by([&] { run_command(command, {}); });
    CHECK(error.code() == Errc::timed_out);
    CHECK(error.message().find("sh did not end within 50 ms") != std::string::npos);
    CHECK(steady_clock::now() - began < std::chrono::seconds(60));
    CHECK_FALSE(std::filesystem::exists(survivor));
}

TEST_CASE("a program that ignores SIGTERM is killed") {
    Command command = shell("trap '' TERM; while :; do sleep 1; done");
    command.time_limit = milliseconds(50);
    CHECK(tests::thrown_by([&] { run_command(command, {}); }).code() == Errc::timed_out);
}

TEST_CASE("a stop request ends the program") {
    const TemporaryDirectory directory;
    const std::filesystem::path running = directory.path() / "running";
    std::stop_source source;
    std::jthread stopper([&] {
        while (!std::filesystem::exists(running)) std::this_thread::yield();
        source.request_stop();
    });
    const auto error = tests::thrown_by([&] {
        run_command(shell("touch '" + running.string() + "'; sleep 600"), source.get_token());
    });
    CHECK(error.code() == Errc::cancelled);
    CHECK(tests::thrown_by([&] { run_command(shell("true"), source.get_token()); }).code() ==
          Errc::cancelled);
}

TEST_CASE("background processes of a program are not waited for") {
    const auto began = steady_clock::now();
    const CommandResult result = run_command(shell("sleep 20 & echo started"), {});
    CHECK(result.output == "started\n");
    CHECK(steady_clock::now() - began < std::chrono::seconds(15));
}

TEST_CASE("a program reads its input, and has nothing else") {
    CHECK(run_or_throw(shell("cat"), {}).empty());
    Command command = shell("cat; echo to nobody >&2");
    command.input = std::string(300'000, 'x');
    command.output_limit = 400'000;
    command.separates_errors = true;
    const CommandResult result = run_command(command, {});
    CHECK(result.output == command.input);
    CHECK(result.errors == "to nobody\n");
}

TEST_CASE("a program that need not read its input ends as well") {
    Command command = shell("exec true");
    command.input = std::string(300'000, 'x');
    CHECK(run_command(command, {}).status == 0);
}

TEST_CASE("a clean environment has only what is given") {
    Command command = shell("exec /usr/bin/env");
    command.environment = {{"PATH", "/usr/bin:/bin"}, {"ONLY", "this"}};
    command.inherits_environment = false;
    std::string output = run_or_throw(command, {});
    CHECK(output.find("ONLY=this\n") != std::string::npos);
    CHECK(output.find("PATH=/usr/bin:/bin\n") != std::string::npos);
    CHECK(output.find("HOME=") == std::string::npos);
}

TEST_CASE("run_or_throw() quotes the last line of the output") {
    CHECK(run_or_throw(shell("echo fine"), {}) == "fine\n");
    const auto error = tests::thrown_by(
        [] { run_or_throw(shell("echo first; echo 'the reason' >&2; exit 9"), {}); });
    CHECK(error.code() == Errc::failed_precondition);
    CHECK(error.message() == "sh ended with status 9: the reason");
    CHECK(tests::thrown_by([] { run_or_throw(shell("exit 1"), {}); }).message() ==
          "sh ended with status 1: it printed nothing");
}

}  // namespace
}  // namespace prebake
