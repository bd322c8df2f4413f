#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>

#include "agent/base/file.h"
#include "agent/report/socket_address.h"

namespace prebake::report {

/// Time limit for everything that a test waits for.
inline constexpr timeval kTestPatience{.tv_sec = 20, .tv_usec = 0};

struct Reply {
    unsigned status = 0;  ///< 0: the connection ended without an answer
    std::string header = {};
    std::string body = {};

    std::string field(std::string_view name) const {
        const std::string start = "\r\n" + std::string(name) + ": ";
        const std::size_t at = header.find(start);
        if (at == std::string::npos) return {};
        const std::size_t value = at + start.size();
        return header.substr(value, header.find("\r\n", value) - value);
    }
};

/// A client that sends any bytes and reads the answers.
class StreamClient {
  public:
    /// `address`: from Endpoint::addresses().
    explicit StreamClient(const std::string& address) {
        if (address.starts_with('/')) {
            const auto to = unix_address(address);
            connect_to(AF_UNIX, to->get(), to->size);
            return;
        }
        const std::size_t colon = address.rfind(':');
        const auto port = htons(static_cast<in_port_t>(std::stoul(address.substr(colon + 1))));
        if (address.starts_with('[')) {
            sockaddr_in6 to{};
            to.sin6_family = AF_INET6;
            to.sin6_addr = in6addr_loopback;
            to.sin6_port = port;
            connect_to(AF_INET6, reinterpret_cast<const sockaddr*>(&to), sizeof to);
        } else {
            sockaddr_in to{};
            to.sin_family = AF_INET;
            to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            to.sin_port = port;
            connect_to(AF_INET, reinterpret_cast<const sockaddr*>(&to), sizeof to);
        }
    }

    StreamClient& send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) break;  // the server has closed; its answer has the reason
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return *this;
    }
    StreamClient& get(const std::string& target) {
        return send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    int fd() const { return fd_.get(); }
    void end_sending() { ::shutdown(fd_.get(), SHUT_WR); }

    enum class Body { as_announced, none };
    Reply read_reply(Body body = Body::as_announced) {
        Reply reply;
        std::size_t end = 0;
        while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
            if (!receive()) return reply;
        }
        reply.header = received_.substr(0, end + 2);
        received_.erase(0, end + 4);
        const std::string status = reply.header.substr(reply.header.find(' ') + 1, 3);
        std::from_chars(status.data(), status.data() + status.size(), reply.status);
        if (body == Body::none) return reply;
        const std::size_t length = std::stoul(reply.field("Content-Length"));
        while (received_.size() < length && receive()) continue;
        reply.body = received_.substr(0, length);
        received_.erase(0, length);
        return reply;
    }

    /// Reads and drops remaining data. Returns whether the server has closed, with or without a
    /// reset.
    bool is_closed() {
        while (receive()) received_.clear();
        return true;
    }
    /// Waits, without reading, until the server has closed a unix connection.
    void wait_for_hangup() {
        pollfd wanted{.fd = fd_.get(), .events = 0, .revents = 0};
        REQUIRE(::poll(&wanted, 1, static_cast<int>(kTestPatience.tv_sec * 1000)) == 1);
        REQUIRE((wanted.revents & (POLLHUP | POLLERR)) != 0);
    }

  private:
    bool receive() {
        std::array<char, 65536> piece{};
        const ssize_t got = ::recv(fd_.get(), piece.data(), piece.size(), 0);
        if (got < 0) REQUIRE_MESSAGE(errno == ECONNRESET, "the server neither answers nor closes");
        if (got <= 0) return false;
        received_.append(piece.data(), static_cast<std::size_t>(got));
        return true;
    }

    void connect_to(int family, const sockaddr* address, socklen_t size) {
        fd_ = FileDescriptor(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &kTestPatience, sizeof kTestPatience);
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &kTestPatience, sizeof kTestPatience);
        REQUIRE(::connect(fd_.get(), address, size) == 0);
    }

    FileDescriptor fd_;
    std::string received_;
};

}  // namespace prebake::report
