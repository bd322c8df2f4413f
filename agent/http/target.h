#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/http/address.h"
#include "agent/http/message.h"
#include "agent/http/proxy.h"
#include "agent/http/url.h"

namespace prebake::http {

/// Where a request goes, and how long it may take.
struct Target {
    using Clock = std::chrono::steady_clock;

    Url url;
    std::string unix_socket;  ///< empty: TCP
    TlsSettings tls;
    std::optional<Proxy> proxy;
    /// "host:port", with the proxy if there is one, or the path of the socket: for errors.
    std::string peer;
    std::string pool_key;           ///< requests with the same key may share a connection
    bool allows_link_local = true;  ///< as in Request
    std::optional<std::chrono::milliseconds> connect_timeout;  ///< as in Request
    std::optional<std::chrono::milliseconds> stall_timeout;    ///< as in Request
    std::optional<std::chrono::milliseconds> time_limit;
    Clock::time_point deadline = Clock::time_point::max();  ///< of the whole exchange

    /// Whether the proxy only carries a connection to the host (CONNECT). Otherwise it is asked for
    /// the URL itself.
    bool is_tunnelled() const { return proxy && url.tls; }
    /// "host:port" or the path of the socket: what limits of connections count by.
    std::string host() const { return unix_socket.empty() ? url.authority() : unix_socket; }
    /// The end of a phase that starts now and may take `limit`.
    Clock::time_point within(std::chrono::milliseconds limit) const;
    /// The error for a phase that ended at its within(limit): because of the time limit of the
    /// whole exchange, or "<phase> <limit>".
    Error timed_out(const std::string& phase, std::chrono::milliseconds limit) const;
    /// Whether the target may have this address.
    bool is_allowed(const Address& address) const;
    /// The error for a target that has no allowed address.
    Error not_allowed() const;
};

/// @throws Error usage for a malformed URL, a path that cannot be a unix socket, a header with
/// control characters, or a proxy that cannot be used.
Target target_of(const Request& request, const ProxySettings& proxies,
                 Target::Clock::time_point now);

/// The request as HTTP/1.1 has it, to its last byte, or to its header's end if it has an upload.
/// Headers of the request replace ours.
std::string text_of(const Request& request, const Target& target, const std::string& user_agent);

/// The request for a tunnel (RFC 9110 section 9.3.6) to a target that is_tunnelled().
std::string text_of_connect(const Target& target, const std::string& user_agent);

}  // namespace prebake::http
