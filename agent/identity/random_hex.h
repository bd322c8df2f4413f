#pragma once

#include <cstddef>
#include <string>

namespace prebake::identity {

/// `bytes` (at most 256) of the kernel's randomness. @throws Error io.
std::string random_bytes(std::size_t bytes);

/// `bytes` (at most 256) of the kernel's randomness as lower-case hex digits.
/// @throws Error io.
std::string random_hex(std::size_t bytes);

}  // namespace prebake::identity
