#pragma once

#include <boost/asio.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/http/client.h"
#include "agent/http/connection.h"
#include "agent/http/target.h"
#include "agent/http/tls_context.h"

namespace prebake::http {

/// What a target needs for its layers of TLS; null where there is none.
struct TlsLayers {
    TlsContext server;
    TlsContext proxy;
};

/// The other side of a layer of TLS.
enum class Hop { proxy, server };

/// Opens connections: looks names up, connects, asks proxies for tunnels, starts TLS. Used on the
/// I/O thread only.
class Connector {
  public:
    Connector(asio::io_context& context, Timeouts timeouts, std::string user_agent);

    /// @throws Error as Client::send() does for what happens before the request.
    asio::awaitable<std::unique_ptr<Connection>> connect(const Target& target,
                                                         const TlsLayers& layers);

  private:
    using TimePoint = std::chrono::steady_clock::time_point;

    asio::awaitable<std::unique_ptr<Connection>> connect_unix(const Target& target,
                                                              TimePoint deadline);
    asio::awaitable<std::unique_ptr<Connection>> connect_tcp(const Target& target,
                                                             TimePoint deadline);
    asio::awaitable<std::vector<SocketAddress>> look_up(const Target& target, TimePoint deadline);
    asio::awaitable<void> open_tunnel(Connection& connection, const Target& target);
    asio::awaitable<void> start_tls(Connection& connection, const Target& target, Hop hop,
                                    SSL_CTX& context, TimePoint deadline);

    std::chrono::milliseconds limit(const Target& target) const {
        return target.connect_timeout.value_or(timeouts_.connect);
    }
    Error unreachable(const error_code& failure, const Target& target) const;

    asio::io_context& context_;
    Timeouts timeouts_;
    std::string user_agent_;
};

/// The error for the innermost layer of TLS, if that failed: in the handshake or later.
Error tls_error(const error_code& failure, Connection& connection, const Target& target, Hop hop);

}  // namespace prebake::http
