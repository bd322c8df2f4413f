#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>

#include "agent/http/message.h"
#include "agent/http/proxy.h"

namespace prebake::http {

struct Timeouts {
    /// Name lookup, TCP, a proxy's tunnel and TLS handshakes together.
    std::chrono::milliseconds connect{30'000};
    std::chrono::milliseconds stall{60'000};  ///< without a byte in either direction
};

/// Of open connections. A request over a limit waits until one is free or closed.
struct ConnectionLimits {
    std::size_t per_host = 32;  ///< "host:port" of the URL, with or without a proxy
    std::size_t total = 128;
};

/// HTTP/1.1 over TCP, TLS or a unix socket, also through an HTTP proxy. Never follows redirects,
/// never retries, adds no credentials except those of a proxy: callers decide on those.
/// Thread-safe.
class Client {
  public:
    virtual ~Client() = default;
    /// Sends the request and waits for the response's header.
    /// @throws Error not_found (no such host), unavailable (refused, reset, TLS handshake failed,
    /// the proxy has no connection to the host), timed_out, cancelled, corrupt (not HTTP, header
    /// over 64 KiB), usage (malformed URL or proxy, too long a socket path, a file of the
    /// TlsSettings that cannot be used), permission_denied (the server's certificate is not
    /// trusted, the proxy or the socket may not be used), unauthenticated (the proxy wants other
    /// credentials, the server another client certificate), unsupported (no TLS 1.2, a proxy
    /// without tunnels), rate_limited (the proxy), io (no trust store). Errors name host and port,
    /// or the socket, never the query of the URL or a password.
    virtual std::unique_ptr<Response> send(const Request& request, const std::stop_token& stop) = 0;
};

/// The client on Boost.Beast: one I/O thread, keep-alive connections pooled per host. `user_agent`
/// is sent with every request.
std::unique_ptr<Client> make_client(Timeouts timeouts, std::string user_agent,
                                    ProxySettings proxies = {}, ConnectionLimits limits = {});

}  // namespace prebake::http
