#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "agent/report/ask_daemon.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/report/served.h"

namespace prebake::report {
namespace {

using std::chrono::milliseconds;
using tests::contains;
using tests::thrown_by;

constexpr milliseconds kAmple{20'000};

TEST_CASE("the daemon's response is returned, whatever its status") {
    Served served;
    const DaemonResponse alive = ask_daemon(served.socket(), "/livez", kAmple);
    CHECK(alive.status == 200);
    CHECK(alive.body == "ok\n");
    CHECK(ask_daemon(served.socket(), "/readyz", kAmple).status == 503);
    const DaemonResponse unknown = ask_daemon(served.socket(), "/nothing", kAmple);
    CHECK(unknown.status == 404);
    CHECK(contains(unknown.body, "prebake.v1.Failure"));
}

TEST_CASE("a daemon without room for another connection answers 503") {
    Served served({.max_connections = 0, .reserved_for_root = 0});
    CHECK(ask_daemon(served.socket(), "/livez", kAmple).status == 503);
}

TEST_CASE("nobody listens on the socket") {
    const TemporaryDirectory directory;
    const auto name = directory / "s";
    const auto error_there = [&] { return thrown_by([&] { ask_daemon(name, "/livez", kAmple); }); };
    SUBCASE("no file") {}
    SUBCASE("a stale socket") {
        const auto address = unix_address(name.string());
        const FileDescriptor dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::bind(dead.get(), address->get(), address->size) == 0);
    }
    SUBCASE("a file") {
        const FileDescriptor file(::open(name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        REQUIRE(file);
    }
    const Error error = error_there();
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "prebaked does not answer on " + name.string()));
    CHECK(contains(error.next_step(), "systemctl status prebaked"));
}

TEST_CASE("a user who is not in the group gets that as the next step") {
    const Served served;
    REQUIRE(::chmod(served.socket().c_str(), 0) == 0);
    std::optional<Error> error;
    std::thread([&] {
        // Root may do everything. The bare system call makes only this thread nobody.
        constexpr long kNobody = 65534;
        if (::geteuid() == 0) ::syscall(SYS_setresuid, -1L, kNobody, -1L);
        error = thrown_by([&] { ask_daemon(served.socket(), "/livez", kAmple); });
    }).join();
    CHECK(error->code() == Errc::permission_denied);
    CHECK(contains(error->next_step(), "group prebake"));
}

TEST_CASE("invalid and incomplete responses are errors") {
    struct Row {
        const char* name;
        std::string answer;
        Errc code;
        bool closes = true;
        milliseconds patience = kAmple;
    };
    const std::string header = "HTTP/1.1 200 OK\r\nContent-Length: ";
    const Row rows[] = {
        {"closes at once", "", Errc::unavailable},
        {"not HTTP", "220 mail.example ESMTP\r\n\r\n", Errc::corrupt},
        {"half a header", "HTTP/1.1 200 OK\r\nContent-Le", Errc::unavailable},
        {"no status", "HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Errc::corrupt},
        {"no length", "HTTP/1.1 200 OK\r\n\r\nhello", Errc::corrupt},
        {"a length of words", header + "many\r\n\r\nhello", Errc::corrupt},
        {"less than announced", header + "10\r\n\r\nhello", Errc::unavailable},
        {"an endless header", header + std::string(100'000, '1'), Errc::corrupt},
        {"too much announced", header + "5000000\r\n\r\nhello", Errc::too_large},
        {"too much", header + "5000000\r\n\r\n" + std::string(5'000'000, 'x'), Errc::too_large},
        {"silence", "", Errc::timed_out, false, milliseconds(50)},
        {"an endless response", header + "10\r\n\r\nhello", Errc::timed_out, false,
         milliseconds(50)},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const TemporaryDirectory directory;
        const auto name = directory / "s";
        const auto address = unix_address(name.string());
        const FileDescriptor listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::bind(listening.get(), address->get(), address->size) == 0);
        REQUIRE(::listen(listening.get(), 1) == 0);
        std::jthread server([&] {
            const FileDescriptor peer(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
            std::string request;
            std::array<char, 512> piece{};
            while (!request.ends_with("\r\n\r\n")) {
                const ssize_t got = ::recv(peer.get(), piece.data(), piece.size(), 0);
                if (got <= 0) break;
                request.append(piece.data(), static_cast<std::size_t>(got));
            }
            ::send(peer.get(), row.answer.data(), row.answer.size(), MSG_NOSIGNAL);
            // Until the client closes.
            while (!row.closes && ::recv(peer.get(), piece.data(), piece.size(), 0) > 0) continue;
        });
        const Error error = thrown_by([&] { ask_daemon(name, "/livez", row.patience); });
        server.join();
        CHECK(error.code() == row.code);
        CHECK(contains(error.message(), name.string()));
    }
}

TEST_CASE("a stop request ends the wait for the response") {
    const TemporaryDirectory directory;
    const auto name = directory / "s";
    const auto address = unix_address(name.string());
    const FileDescriptor listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listening.get(), address->get(), address->size) == 0);
    REQUIRE(::listen(listening.get(), 1) == 0);
    std::stop_source stop;
    std::jthread server([&] {
        const FileDescriptor peer(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
        std::array<char, 512> piece{};
        CHECK(::recv(peer.get(), piece.data(), piece.size(), 0) > 0);
        stop.request_stop();
        CHECK(::recv(peer.get(), piece.data(), piece.size(), 0) == 0);
    });
    const auto ask = [&] { ask_daemon(name, "/livez", kAmple, stop.get_token()); };
    CHECK(thrown_by(ask).code() == Errc::cancelled);
    server.join();
    CHECK(thrown_by(ask).code() == Errc::cancelled);  // does not even connect
}

TEST_CASE("the time limit includes the wait for a server that accepts no connections") {
    const TemporaryDirectory directory;
    const auto name = directory / "s";
    const auto address = unix_address(name.string());
    const FileDescriptor listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listening.get(), address->get(), address->size) == 0);
    REQUIRE(::listen(listening.get(), 0) == 0);
    const StreamClient first(name.string());
    const Error error = thrown_by([&] { ask_daemon(name, "/livez", milliseconds(50)); });
    CHECK(error.code() == Errc::timed_out);
}

}  // namespace
}  // namespace prebake::report
