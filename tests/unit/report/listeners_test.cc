#include "agent/report/listeners.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <optional>

#include "tests/unit/base/thrown.h"
#include "tests/unit/report/served.h"

namespace prebake::report {
namespace {

using std::filesystem::path;
using tests::contains;
using tests::thrown_by;

const ReportProblem kNoProblem = [](const std::string& problem) { FAIL(problem); };

TEST_CASE("addresses to listen on") {
    const ListenAddress v4{.family = Family::v4, .port = 9813};
    const ListenAddress v6{.family = Family::v6, .port = 9813};
    CHECK(parse_listen("127.0.0.1:9813") == std::vector{v4});
    CHECK(parse_listen("[::1]:9813") == std::vector{v6});
    CHECK(parse_listen("[::1]:0").front().port == 0);
    const auto both = parse_listen("localhost:65535");
    REQUIRE(both.size() == 2);
    CHECK(both[0] == ListenAddress{Family::v4, 65535, true});
    CHECK(both[1] == ListenAddress{Family::v6, 65535, true});

    for (const char* text :
         {"", ":9813", "9813", "localhost", "localhost:", "localhost:http", "localhost:65536",
          "localhost:-1", "localhost:1 ", "0.0.0.0:9813", "[::]:9813", "*:9813", "::1:9813",
          "10.0.0.1:9813", "localhost.example:1", "169.254.169.254:80", "127.0.0.1"}) {
        CAPTURE(text);
        const Error error = thrown_by([&] { parse_listen(text); });
        CHECK(error.code() == Errc::usage);
        CHECK(contains(error.next_step(), "localhost:PORT"));
    }
}

TEST_CASE("a port that is in use is reported, and the other addresses serve") {
    Listeners first = listen_on_loopback({"127.0.0.1:0"}, {});
    REQUIRE(first.open.size() == 1);
    const std::string taken = first.open[0].name;
    Listeners second = listen_on_loopback({taken, "127.0.0.1:0"}, {});
    REQUIRE(second.failed.size() == 1);
    CHECK(second.failed[0].problem == "cannot listen on " + taken + ": a process of user " +
                                          std::to_string(::geteuid()) + " has the port");
    REQUIRE(second.open.size() == 1);
    CHECK(second.open[0].name != taken);

    listen_again(second);
    CHECK(second.failed.size() == 1);
    first.open.clear();
    listen_again(second);
    CHECK(second.failed.empty());
    REQUIRE(second.open.size() == 2);
    CHECK(second.open[1].name == taken);
}

TEST_CASE("a socket that was passed is used for its address, and for no other") {
    Listeners passed = listen_on_loopback({"127.0.0.1:0", "127.0.0.1:0"}, {});
    REQUIRE(passed.open.size() == 2);
    const std::string wanted = passed.open[0].name;
    const int fd = passed.open[0].fd.get();
    const Listeners used = listen_on_loopback({wanted}, std::move(passed.open));
    CHECK(used.failed.empty());
    REQUIRE(used.open.size() == 1);
    CHECK(used.open[0].name == wanted);
    CHECK(used.open[0].fd.get() == fd);
    REQUIRE(used.unwanted.size() == 1);
    CHECK(contains(used.problems()[0], "prebaked.socket"));
}

TEST_CASE("sockets are passed to the process that the environment names") {
    struct Row {
        const char* name;
        std::string process;
    };
    for (const Row& row : {Row{"another process", "1"}, Row{"nonsense", "x"}, Row{"none", ""}}) {
        CAPTURE(row.name);
        ::setenv("LISTEN_PID", row.process.c_str(), 1);
        ::setenv("LISTEN_FDS", "5", 1);
        CHECK(passed_listeners().empty());
        CHECK(::getenv("LISTEN_FDS") == nullptr);
    }
}

TEST_CASE("the socket file is for root and the group, and is removed with its owner") {
    const TemporaryDirectory directory;
    const path name = directory / "made/too/prebake.sock";
    {
        SocketFile file(name, Served::own_group(), kNoProblem);
        struct stat status {};
        REQUIRE(::lstat(name.c_str(), &status) == 0);
        CHECK(S_ISSOCK(status.st_mode));
        CHECK((status.st_mode & 07777) == 0660);
        CHECK(status.st_gid == ::getegid());
        CHECK(file.take_listener().socket_kind == SocketKind::unix_socket);
    }
    CHECK_FALSE(std::filesystem::exists(std::filesystem::symlink_status(name)));
}

TEST_CASE("without the group only the owner has access, and that is reported") {
    const TemporaryDirectory directory;
    std::vector<std::string> problems;
    const SocketFile file(directory / "s", "no-such-group-here",
                          [&](const std::string& problem) { problems.push_back(problem); });
    REQUIRE(problems.size() == 1);
    CHECK(contains(problems[0], "no group no-such-group-here"));
    struct stat status {};
    REQUIRE(::stat((directory / "s").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0660);
}

TEST_CASE("a stale socket is replaced") {
    const TemporaryDirectory directory;
    const path name = directory / "s";
    const auto address = unix_address(name.string());
    {
        const FileDescriptor dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::bind(dead.get(), address->get(), address->size) == 0);
        REQUIRE(::listen(dead.get(), 1) == 0);
    }
    REQUIRE(std::filesystem::is_socket(name));
    SocketFile file(name, Served::own_group(), kNoProblem);
    const StreamClient client(name.string());  // requires to be connected
}

TEST_CASE("anything else at the path is not changed") {
    const TemporaryDirectory directory;
    const path name = directory / "s";
    const auto error_there = [&] {
        return thrown_by([&] { const SocketFile file(name, Served::own_group(), kNoProblem); });
    };
    SUBCASE("a file") {
        std::ofstream(name) << "precious";
        const Error error = error_there();
        CHECK(error.code() == Errc::conflict);
        CHECK(contains(error.message(), "is not a socket"));
        CHECK(read_file(name, 100) == "precious");
    }
    SUBCASE("a directory") {
        std::filesystem::create_directory(name);
        CHECK(error_there().code() == Errc::conflict);
        CHECK(std::filesystem::is_directory(name));
    }
    SUBCASE("a symlink to anything") {
        std::filesystem::create_symlink("nowhere", name);
        CHECK(error_there().code() == Errc::conflict);
        CHECK(std::filesystem::read_symlink(name) == "nowhere");
    }
    SUBCASE("another daemon") {
        const SocketFile other(name, Served::own_group(), kNoProblem);
        const Error error = error_there();
        CHECK(error.code() == Errc::conflict);
        CHECK(contains(error.message(), "another prebake daemon"));
        const StreamClient client(name.string());
    }
    SUBCASE("another program") {
        const auto address = unix_address(name.string());
        const FileDescriptor other(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::bind(other.get(), address->get(), address->size) == 0);
        REQUIRE(::listen(other.get(), 1) == 0);
        const Error error = error_there();
        CHECK(error.code() == Errc::conflict);
        CHECK(contains(error.message(), "another process listens"));
        const StreamClient client(name.string());
    }
    SUBCASE("another program with a full backlog") {
        const auto address = unix_address(name.string());
        const FileDescriptor other(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::bind(other.get(), address->get(), address->size) == 0);
        REQUIRE(::listen(other.get(), 0) == 0);
        const StreamClient first(name.string());
        CHECK(error_there().code() == Errc::conflict);
        CHECK(std::filesystem::is_socket(name));
    }
    SUBCASE("a socket of another kind") {
        const auto address = unix_address(name.string());
        const FileDescriptor other(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        REQUIRE(::bind(other.get(), address->get(), address->size) == 0);
        CHECK(error_there().code() == Errc::conflict);
        CHECK(std::filesystem::is_socket(name));
    }
}

TEST_CASE("a file that replaced the socket is not removed") {
    const TemporaryDirectory directory;
    const path name = directory / "s";
    {
        const SocketFile file(name, Served::own_group(), kNoProblem);
        std::filesystem::remove(name);
        std::ofstream(name) << "precious";
    }
    CHECK(read_file(name, 100) == "precious");
}

TEST_CASE("a path that is too long for a socket") {
    const TemporaryDirectory directory;
    const path name = directory / std::string(120, 'x').c_str();
    const Error error =
        thrown_by([&] { const SocketFile file(name, Served::own_group(), kNoProblem); });
    CHECK(error.code() == Errc::usage);
    CHECK(contains(error.next_step(), "107"));
}

}  // namespace
}  // namespace prebake::report
