#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Text for people. Pure.
namespace prebake {

/// "1 image", "2 images"
std::string counted(std::uint64_t number, std::string_view what);
/// "0 B", "812 B", "1.4 KiB", "212.0 MiB"
std::string format_bytes(std::uint64_t bytes);
/// "0.3 s", "12.9 s", "3 min 07 s", "1 h 02 min"
std::string format_duration(std::chrono::duration<double> duration);

/// Columns as wide as their widest cell, two spaces apart; the last one is not padded. The columns
/// in `right` are aligned to the right.
std::string format_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<std::size_t>& right = {});

/// Foreign text, such as file names, for a message: each byte that is not part of UTF-8 or belongs
/// to a control character becomes '?'.
std::string printable(std::string_view bytes);

/// The text if it has at most `limit` bytes; otherwise its beginning and "...", together at most
/// `limit` bytes. Never ends within a UTF-8 sequence. `limit` is at least 3.
std::string shorten(std::string_view text, std::size_t limit);

}  // namespace prebake
