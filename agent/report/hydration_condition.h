#pragma once

#include <string_view>

#include "agent/report/judgement.h"
#include "agent/report/node_hydration.h"

namespace prebake::report {

/// Reasons of Hydrated with which nothing is wrong: what was baked is usable, and becomes faster.
inline constexpr std::string_view kHydratingReason = "Hydrating";
inline constexpr std::string_view kNotRunReason = "NotRun";

/// Reasons with which it cannot become True by itself.
inline constexpr std::string_view kHydrationIncompleteReason = "HydrationIncomplete";
inline constexpr std::string_view kHydrationFailedReason = "HydrationFailed";

/// Hydrated. Progress is in steps of ten percent: each change of a message is written to files and
/// to SSM's inventory. Pure.
Judgement judge_hydration(const HydrationFacts& facts);

}  // namespace prebake::report
