#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

/// Numbers with a unit. Pure functions.
namespace prebake::cli {

/// Bytes: a number with an optional unit B, KiB, MiB, GiB, or KB, MB, GB. @throws Error usage.
std::uint64_t parse_bytes(std::string_view text);
/// A number with a unit ms, s, m or h. @throws Error usage.
std::chrono::milliseconds parse_duration(std::string_view text);

}  // namespace prebake::cli
