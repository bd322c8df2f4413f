#pragma once

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
    TlsVerification verification = TlsVerification::system_trust_store;
    std::string peer;      ///< "host:port" or the path of the socket, for errors
    std::string pool_key;  ///< requests with the same key may share a connection
    std::optional<std::chrono::milliseconds> time_limit;
    Clock::time_point deadline = Clock::time_point::max();  ///< of the whole exchange

    /// The end of a phase that starts now and may take `limit`.
    Clock::time_point within(std::chrono::milliseconds limit) const;
    /// The error for a phase that ended at its within(limit): because of the time limit of the
    /// whole exchange, or "<phase> <limit>".
    Error timed_out(const std::string& phase, std::chrono::milliseconds limit) const;
};

/// @throws Error usage for a malformed URL, a path that cannot be a unix socket, or a header with
/// control characters.
Target target_of(const Request& request, Target::Clock::time_point now);

}  // namespace prebake::http
