#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace prebake::registry {

/// A duration as Go writes it: "5m0s", "1h30m", "0s"; at most some thirty years. Nothing if it is
/// none.
std::optional<std::chrono::nanoseconds> parse_go_duration(std::string_view text);

}  // namespace prebake::registry
