#pragma once

#include <chrono>
#include <variant>
#include <vector>

#include "agent/http/connection.h"

namespace prebake::http {

/// How long one address may be alone before the next one is tried beside it (RFC 8305 section 5).
/// Packets to a host's IPv6 address may be dropped, and a lost SYN is repeated only after a second.
inline constexpr std::chrono::milliseconds kAttemptDelay{250};

/// The failure of the first address, which is the preferred one, or a socket that is connected.
using Raced = std::variant<error_code, Socket>;

/// Connects to the first of these addresses that answers; `addresses` is not empty. Attempts start
/// in order: after kAttemptDelay, or at once if all before have failed. None is given up before the
/// deadline (beast::error::timeout), but the others are closed when one has connected.
asio::awaitable<Raced> connect_to_any(asio::io_context& context,
                                      std::vector<SocketAddress> addresses,
                                      std::chrono::steady_clock::time_point deadline);

}  // namespace prebake::http
