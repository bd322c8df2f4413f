#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>

#include "agent/http/message.h"

namespace prebake::http {

struct Timeouts {
    std::chrono::milliseconds connect{30'000};  ///< name lookup, TCP and TLS handshake together
    std::chrono::milliseconds stall{60'000};    ///< without a byte in either direction
};

/// HTTP/1.1 over TCP, TLS or a unix socket. Never follows redirects, never retries, adds no
/// credentials: callers decide on those. Thread-safe.
class Client {
  public:
    virtual ~Client() = default;
    /// Sends the request and waits for the response's header.
    /// @throws Error not_found (no such host), unavailable (refused, reset, TLS handshake failed),
    /// timed_out, cancelled, corrupt (not HTTP, header over 64 KiB), usage (malformed URL, too long
    /// a socket path), permission_denied (the server's certificate is not trusted, the socket may
    /// not be used), io (no trust store). Errors name host and port, or the socket, never the query
    /// of the URL.
    virtual std::unique_ptr<Response> send(const Request& request, const std::stop_token& stop) = 0;
};

/// The client on Boost.Beast: one I/O thread, keep-alive connections pooled per host. `user_agent`
/// is sent with every request.
std::unique_ptr<Client> make_client(Timeouts timeouts, std::string user_agent);

}  // namespace prebake::http
