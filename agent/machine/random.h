#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace prebake::machine {

/// `bytes` random bytes (at most 256) from the kernel. @throws Error io.
std::string random_bytes(std::size_t bytes);

/// `bytes` random bytes (at most 256) as lower-case hex digits. @throws Error io.
std::string random_hex(std::size_t bytes);

/// A random UUID (RFC 4122, version 4) as 32 hex digits, the format of a machine-id.
std::string random_id();

/// The same 32 digits as 8-4-4-4-12.
std::string format_uuid(std::string_view id);

}  // namespace prebake::machine
