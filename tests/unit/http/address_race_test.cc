#include "agent/http/address_race.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/http/loopback_server.h"

namespace prebake::http {
namespace {

using namespace std::chrono_literals;

SocketAddress loopback_port(unsigned short port) {
    return asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port);
}

SocketAddress address_of_server(const LoopbackServer& server) {
    return loopback_port(static_cast<unsigned short>(std::stoi(server.port())));
}

/// A port on which nobody listens.
SocketAddress refusing_address() {
    const LoopbackServer gone(nullptr);
    return address_of_server(gone);
}

/// A port whose backlog is full, so that the kernel drops packets of new connections.
class SilentPort {
  public:
    SilentPort() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* const generic = reinterpret_cast<sockaddr*>(&address);
        socklen_t length = sizeof address;
        REQUIRE(::bind(listener_, generic, length) == 0);
        REQUIRE(::listen(listener_, 0) == 0);
        REQUIRE(::getsockname(listener_, generic, &length) == 0);
        port_ = ntohs(address.sin_port);
        for (int& filler : fillers_) {
            filler = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            ::connect(filler, generic, length);
        }
    }
    ~SilentPort() {
        for (const int filler : fillers_) ::close(filler);
        ::close(listener_);
    }
    SilentPort(const SilentPort&) = delete;
    SilentPort& operator=(const SilentPort&) = delete;

    SocketAddress address() const { return loopback_port(port_); }

  private:
    int listener_;
    unsigned short port_ = 0;
    std::array<int, 4> fillers_{};
};

/// The address that won, or the failure.
std::variant<SocketAddress, error_code> race(std::vector<SocketAddress> addresses,
                                             std::chrono::milliseconds limit) {
    asio::io_context context;
    std::optional<std::variant<SocketAddress, error_code>> outcome;
    asio::co_spawn(
        context,
        connect_to_any(context, std::move(addresses), std::chrono::steady_clock::now() + limit),
        [&](const std::exception_ptr& failure, Raced raced) {
            CHECK_FALSE(failure);
            if (const auto* code = std::get_if<error_code>(&raced)) {
                outcome = *code;
            } else {
                outcome = std::get<Socket>(raced).socket().remote_endpoint();
            }
        });
    // The losers are closed, so nothing is left to run until their deadline.
    const auto began = std::chrono::steady_clock::now();
    context.run();
    CHECK(std::chrono::steady_clock::now() - began < 5min);
    REQUIRE(outcome);
    return *outcome;
}

TEST_CASE("the first address that answers wins") {
    LoopbackServer server([](ServerConnection& connection, int) { connection.wait_for_close(); });
    const SocketAddress good = address_of_server(server);
    const SilentPort silent;
    const SilentPort also_silent;
    const SocketAddress refusing = refusing_address();
    CHECK(std::get<SocketAddress>(race({good}, 10min)) == good);
    CHECK(std::get<SocketAddress>(race({good, silent.address()}, 10min)) == good);
    CHECK(std::get<SocketAddress>(race({refusing, good}, 10min)) == good);
    CHECK(std::get<SocketAddress>(race({silent.address(), good}, 10min)) == good);
    CHECK(std::get<SocketAddress>(
              race({silent.address(), refusing, also_silent.address(), good}, 10min)) == good);
}

TEST_CASE("no address answers") {
    const SilentPort silent;
    const SocketAddress refusing = refusing_address();
    CHECK(std::get<error_code>(race({refusing, refusing}, 10min)) ==
          asio::error::connection_refused);
    CHECK(std::get<error_code>(race({silent.address()}, 100ms)) == beast::error::timeout);
    // Another one starts beside the first; the preferred one's failure is reported.
    CHECK(std::get<error_code>(race({silent.address(), refusing}, 600ms)) == beast::error::timeout);
    CHECK(std::get<error_code>(race({refusing, silent.address()}, 600ms)) ==
          asio::error::connection_refused);
}

}  // namespace
}  // namespace prebake::http
