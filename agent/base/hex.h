#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace prebake {

/// Two lower-case hex digits for each byte.
std::string to_hex(std::span<const std::byte> bytes);

}  // namespace prebake
