#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace prebake::http {

/// An IP address; one of IPv4 in its IPv6 form, ::ffff:1.2.3.4 (RFC 4291).
using Address = std::array<std::uint8_t, 16>;

/// Nothing if it is neither IPv4 nor IPv6.
std::optional<Address> address_of(const sockaddr& address);

/// The address that `host` spells: in every way that getaddrinfo(3) takes without asking a name
/// server, such as 127.1 or 2130706433 for 127.0.0.1. Nothing for a name.
std::optional<Address> parse_address(const std::string& host);

/// 127.0.0.0/8 and ::1.
bool is_loopback(const Address& address);

/// Whether packets to it stay on this machine's link: 169.254.0.0/16 and fe80::/10, an IPv4 address
/// that is mapped or translated to IPv6 (RFC 4291, RFC 6052), and Amazon's fd00:ec2::/32.
bool is_link_local(const Address& address);

/// Whether the first `bits` of both are equal.
bool have_same_prefix(const Address& a, const Address& b, std::size_t bits);

/// The order in which to try addresses of these families (AF_INET, AF_INET6), as indexes: the first
/// one first, then the families take turns, each in its own order (RFC 8305 section 4).
std::vector<std::size_t> order_of_attempts(const std::vector<int>& families);

}  // namespace prebake::http
