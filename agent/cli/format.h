#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Text for people. Pure.
namespace prebake::cli {

/// "0 B", "812 B", "1.4 KiB", "212.0 MiB"
std::string format_bytes(std::uint64_t bytes);
/// "0.3 s", "12.9 s", "3 min 07 s", "1 h 02 min"
std::string format_duration(std::chrono::duration<double> duration);

/// Columns as wide as their widest cell, two spaces apart; the last one is not padded. Cells of the
/// columns in `right` are aligned to the right.
std::string format_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<std::size_t>& right = {});

/// Bytes: a number with an optional unit B, KiB, MiB, GiB, or KB, MB, GB. @throws Error usage.
std::uint64_t parse_bytes(std::string_view text);
/// A number with a unit ms, s, m or h. @throws Error usage.
std::chrono::milliseconds parse_duration(std::string_view text);

}  // namespace prebake::cli
