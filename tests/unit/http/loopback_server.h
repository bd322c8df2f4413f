#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace prebake::http {

/// One accepted connection without TLS. Its calls end when the peer closes.
class ServerConnection {
  public:
    explicit ServerConnection(int fd) : fd_(fd) {}
    ~ServerConnection() { ::close(fd_); }
    ServerConnection(const ServerConnection&) = delete;
    ServerConnection& operator=(const ServerConnection&) = delete;

    int fd() const { return fd_; }

    /// The header of the next request; empty when the client has closed.
    std::string read_request() {
        std::string text;
        std::array<char, 1> byte;
        while (!text.ends_with("\r\n\r\n")) {
            if (::recv(fd_, byte.data(), 1, 0) <= 0) return {};
            text += byte[0];
        }
        return text;
    }
    void send(std::string_view text) {
        while (!text.empty()) {
            const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
            if (sent <= 0) return;
            text.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    void wait_for_close() {
        std::array<char, 512> ignored;
        while (::recv(fd_, ignored.data(), ignored.size(), 0) > 0) continue;
    }
    /// Closes with a reset instead of an orderly end.
    void reset_on_close() {
        const linger abort{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    }

  private:
    int fd_;
};

/// A TCP server on an ephemeral port of 127.0.0.1 (or ::1) that serves its connections one after
/// the other. Clients must be gone before it is destroyed.
class LoopbackServer {
  public:
    using Handler = std::function<void(ServerConnection& connection, int number)>;

    explicit LoopbackServer(Handler handler, int family = AF_INET)
        : fd_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)), handler_(std::move(handler)) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_addr = in6addr_loopback;
        auto* address =
            family == AF_INET ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
        socklen_t length = family == AF_INET ? sizeof v4 : sizeof v6;
        listening_ = ::bind(fd_, address, length) == 0 && ::listen(fd_, 16) == 0 &&
                     ::getsockname(fd_, address, &length) == 0;
        port_ = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
        if (listening_) thread_ = std::jthread([this] { serve(); });
    }
    ~LoopbackServer() {
        ::shutdown(fd_, SHUT_RDWR);
        if (thread_.joinable()) thread_.join();
        ::close(fd_);
    }
    LoopbackServer(const LoopbackServer&) = delete;
    LoopbackServer& operator=(const LoopbackServer&) = delete;

    /// False if the machine does not have the address family.
    bool listening() const { return listening_; }
    std::string port() const { return std::to_string(port_); }
    std::string url(const std::string& path, const std::string& scheme = "http") const {
        return scheme + "://127.0.0.1:" + port() + path;
    }
    int connections() const { return connections_; }

  private:
    void serve() {
        // Only in this thread: OpenSSL writes without MSG_NOSIGNAL, but a client that raises
        // SIGPIPE must fail.
        sigset_t broken_pipe;
        ::sigemptyset(&broken_pipe);
        ::sigaddset(&broken_pipe, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
        for (;;) {
            const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) return;
            ServerConnection connection(fd);
            handler_(connection, ++connections_);
        }
    }

    int fd_;
    Handler handler_;
    bool listening_ = false;
    unsigned port_ = 0;
    std::atomic<int> connections_ = 0;
    std::jthread thread_;
};

}  // namespace prebake::http
