#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// The addresses on which the endpoint may listen. Pure.
namespace prebake::report {

enum class Family { v4, v6 };

/// A loopback address.
struct ListenAddress {
    Family family = Family::v4;
    std::uint16_t port = 0;  ///< 0: the kernel chooses
    /// From "localhost", which means both families: one of them may be missing on this machine.
    bool is_optional = false;

    bool operator==(const ListenAddress&) const = default;
};

/// Parses "localhost:PORT" (both families, without a resolver), "127.0.0.1:PORT" or "[::1]:PORT".
/// @throws Error usage for everything else: the endpoint only serves this machine.
std::vector<ListenAddress> parse_listen(const std::string& text);

/// "127.0.0.1:9813" or "[::1]:9813".
std::string to_string(const ListenAddress& address);

}  // namespace prebake::report
