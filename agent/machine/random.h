#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace prebake::machine {

/// `bytes` (at most 256) of the kernel's randomness. @throws Error io.
std::string random_bytes(std::size_t bytes);

/// `bytes` (at most 256) of the kernel's randomness as lower-case hex digits.
/// @throws Error io.
std::string random_hex(std::size_t bytes);

/// A random UUID (RFC 4122, version 4) as 32 hex digits: the form of a machine-id.
std::string make_random_id();

/// The same 32 digits as 8-4-4-4-12.
std::string uuid_form(std::string_view id);

}  // namespace prebake::machine
