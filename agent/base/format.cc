#include "agent/base/format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace prebake {
namespace {

template <typename... Values>
std::string print(const char* format, Values... values) {
    std::array<char, 64> text{};
    const int length = std::snprintf(text.data(), text.size(), format, values...);
    return {text.data(), static_cast<std::size_t>(length)};
}

/// Bytes of the UTF-8 sequence that begins at `at`; 0 if none does, or if it is a control
/// character.
std::size_t sequence_at(std::string_view bytes, std::size_t at) {
    const auto byte = [&](std::size_t offset) {
        return at + offset < bytes.size() ? static_cast<unsigned char>(bytes[at + offset]) : 0U;
    };
    const unsigned first = byte(0);
    if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) return 0;
    std::uint32_t character = first & (0xffU >> (length + 1));
    for (std::size_t offset = 1; offset < length; ++offset) {
        if ((byte(offset) & 0xc0U) != 0x80) return 0;
        character = character << 6U | (byte(offset) & 0x3fU);
    }
    const bool is_overlong =
        (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
    const bool is_surrogate = character >= 0xd800 && character < 0xe000;
    const bool is_control = character < 0xa0;
    return is_overlong || is_surrogate || is_control || character > 0x10ffff ? 0 : length;
}

}  // namespace

std::string counted(std::uint64_t number, std::string_view what) {
    return std::to_string(number) + " " + std::string(what) + (number == 1 ? "" : "s");
}

std::string format_bytes(std::uint64_t bytes) {
    if (bytes < 1024) return std::to_string(bytes) + " B";
    static constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    // 1023.95 would be rounded to "1024.0".
    while (value >= 1023.95 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    return print("%.1f %s", value, kUnits[unit]);
}

std::string format_duration(std::chrono::duration<double> duration) {
    const double seconds = duration.count();
    if (seconds < 59.95) return print("%.1f s", seconds);
    const auto whole = static_cast<long>(std::llround(seconds));
    if (whole < 3600) return print("%ld min %02ld s", whole / 60, whole % 60);
    return print("%ld h %02ld min", whole / 3600, whole % 3600 / 60);
}

std::string format_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<std::size_t>& right) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            const bool is_right = std::find(right.begin(), right.end(), i) != right.end();
            const std::string padding(widths[i] - row[i].size(), ' ');
            if (is_right) text += padding;
            text += row[i];
            if (i + 1 == row.size()) break;
            if (!is_right) text += padding;
            text += "  ";
        }
        text += '\n';
    }
    return text;
}

std::string printable(std::string_view bytes) {
    std::string text;
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t length = sequence_at(bytes, at);
        if (length == 0) {
            text += '?';
            ++at;
        } else {
            text += bytes.substr(at, length);
            at += length;
        }
    }
    return text;
}

std::string shorten(std::string_view text, std::size_t limit) {
    constexpr std::string_view kEllipsis = "...";
    if (text.size() <= limit) return std::string(text);
    std::size_t end = limit - kEllipsis.size();
    const auto is_continuation = [&] {
        return (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80;
    };
    while (end > 0 && is_continuation()) --end;
    return std::string(text.substr(0, end)) + std::string(kEllipsis);
}

}  // namespace prebake
