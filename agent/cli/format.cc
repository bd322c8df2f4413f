#include "agent/cli/format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>

#include "agent/base/error.h"

namespace prebake::cli {
namespace {

template <typename... Values>
std::string print(const char* format, Values... values) {
    std::array<char, 64> text{};
    const int length = std::snprintf(text.data(), text.size(), format, values...);
    return {text.data(), static_cast<std::size_t>(length)};
}

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

/// A whole number followed by one of `units` (the first one stands for a missing unit).
std::uint64_t parse_with_unit(std::string_view text, std::span<const Unit> units,
                              std::string_view what) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    std::string_view unit(end, text.data() + text.size());
    unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
    const auto found = std::find_if(units.begin(), units.end(), [&](const Unit& candidate) {
        return candidate.name == (unit.empty() ? units.front().name : unit);
    });
    if (error != std::errc() || found == units.end() ||
        number > std::numeric_limits<std::int64_t>::max() / found->factor) {
        std::string known;
        for (const Unit& candidate : units) known += " " + std::string(candidate.name);
        throw Error(Errc::usage, "\"" + std::string(text) + "\" is not " + std::string(what),
                    "write a whole number and one of the units" + known);
    }
    return number * found->factor;
}

}  // namespace

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

std::uint64_t parse_bytes(std::string_view text) {
    static constexpr std::array<Unit, 7> kUnits{{{"B", 1},
                                                 {"KiB", 1ULL << 10},
                                                 {"MiB", 1ULL << 20},
                                                 {"GiB", 1ULL << 30},
                                                 {"KB", 1'000},
                                                 {"MB", 1'000'000},
                                                 {"GB", 1'000'000'000}}};
    return parse_with_unit(text, kUnits, "a size");
}

std::chrono::milliseconds parse_duration(std::string_view text) {
    static constexpr std::array<Unit, 4> kUnits{
        {{"s", 1'000}, {"ms", 1}, {"m", 60'000}, {"h", 3'600'000}}};
    return std::chrono::milliseconds(parse_with_unit(text, kUnits, "a duration"));
}

}  // namespace prebake::cli
