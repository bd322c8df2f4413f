#include "agent/registry/go_duration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <system_error>

namespace prebake::registry {

std::optional<std::chrono::nanoseconds> parse_go_duration(std::string_view text) {
    struct Unit {
        std::string_view name;
        double nanoseconds;
    };
    static constexpr std::array kUnits{Unit{"ns", 1.0},   Unit{"us", 1e3}, Unit{"ms", 1e6},
                                       Unit{"h", 3.6e12}, Unit{"m", 6e10}, Unit{"s", 1e9}};
    if (text == "0") return std::chrono::nanoseconds(0);
    if (text.empty()) return std::nullopt;
    double total = 0;
    while (!text.empty()) {
        double number = 0;
        const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number,
                                                    std::chars_format::fixed);
        if (problem != std::errc() || number < 0) return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& candidate) {
            return text.starts_with(candidate.name);
        });
        if (unit == kUnits.end()) return std::nullopt;
        text.remove_prefix(unit->name.size());
        total += number * unit->nanoseconds;
    }
    constexpr double kMost = 1e18;  // some thirty years
    return std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(total, kMost)));
}

}  // namespace prebake::registry
