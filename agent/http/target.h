#pragma once

#include <sys/socket.h>

#include <chrono>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/http/message.h"
#include "agent/http/url.h"

namespace prebake::http {

/// Where a request goes, and how long it may take.
struct Target {
    using Clock = std::chrono::steady_clock;

    Url url;
    std::string unix_socket;  ///< empty: TCP
    TlsSettings tls;
    std::string peer;               ///< "host:port" or the path of the socket, for errors
    std::string pool_key;           ///< requests with the same key may share a connection
    bool allows_link_local = true;  ///< as in Request
    std::optional<std::chrono::milliseconds> time_limit;
    Clock::time_point deadline = Clock::time_point::max();  ///< of the whole exchange

    /// The end of a phase that starts now and may take `limit`.
    Clock::time_point within(std::chrono::milliseconds limit) const;
    /// The error for a phase that ended at its within(limit): because of the time limit of the
    /// whole exchange, or "<phase> <limit>".
    Error timed_out(const std::string& phase, std::chrono::milliseconds limit) const;
    /// @throws Error permission_denied if the target must not have this address.
    void require_allowed(const sockaddr& address) const;
};

/// Whether packets to it stay on this machine's link: 169.254.0.0/16 and fe80::/10, an IPv4 address
/// that is mapped or translated to IPv6 (RFC 4291, RFC 6052), and Amazon's fd00:ec2::/32.
bool is_link_local(const sockaddr& address);

/// @throws Error usage for a malformed URL, a path that cannot be a unix socket, or a header with
/// control characters.
Target target_of(const Request& request, Target::Clock::time_point now);

}  // namespace prebake::http
