#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Text for people. Pure.
namespace prebake {

/// "0 B", "812 B", "1.4 KiB", "212.0 MiB"
std::string format_bytes(std::uint64_t bytes);
/// "0.3 s", "12.9 s", "3 min 07 s", "1 h 02 min"
std::string format_duration(std::chrono::duration<double> duration);

/// Columns as wide as their widest cell, two spaces apart; the last one is not padded. Cells of the
/// columns in `right` are aligned to the right.
std::string format_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<std::size_t>& right = {});

/// What others wrote, file names for one: what is not UTF-8, or steers a terminal, becomes '?'.
std::string printable(std::string_view bytes);

/// The text if it has at most `limit` bytes; else as much of its beginning as leaves room for
/// "...". Never ends within a UTF-8 sequence. `limit` is at least 3.
std::string shorten(std::string_view text, std::size_t limit);

}  // namespace prebake
