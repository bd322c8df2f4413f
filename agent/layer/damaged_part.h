#pragma once

#include <cstdint>
#include <string>

#include "agent/base/error.h"

namespace prebake::layer {

/// Errc::corrupt: `part` ("gzip member"), which begins at byte `begin` of the compressed bytes, is
/// damaged.
Error damaged_part(const std::string& part, std::uint64_t begin, const std::string& cause);
/// Errc::corrupt: the compressed bytes end after `size` bytes, inside of the part.
Error truncated_part(const std::string& part, std::uint64_t begin, std::uint64_t size);
/// Errc::corrupt: what comes behind other parts is none.
Error not_a_part(const std::string& part, std::uint64_t begin);

}  // namespace prebake::layer
