#include "agent/cli/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>
#include <string>

#include "agent/base/error.h"

namespace prebake::cli {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

/// A whole number followed by one of `units`; the first unit is the default.
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
