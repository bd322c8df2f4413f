#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proto/prebake/v1/hydration.pb.h"
#include "proto/prebake/v1/node.pb.h"

/// How far hydration is, for reports. Pure.
namespace prebake::report {

/// Words of v1::NodeHydration.state. The last two are not in v1::Hydration.
inline constexpr std::string_view kProbingState = "probing";
inline constexpr std::string_view kHydratingState = "hydrating";
inline constexpr std::string_view kHydratedState = "hydrated";
inline constexpr std::string_view kIncompleteState = "incomplete";
inline constexpr std::string_view kNotNeededState = "not_needed";
inline constexpr std::string_view kOffState = "off";
inline constexpr std::string_view kNoPlanState = "no_plan";
inline constexpr std::string_view kFailedState = "failed";
inline constexpr std::string_view kStoppedState = "stopped";
inline constexpr std::string_view kNotRunState = "not_run";

/// Whether a state of v1::Hydration means that the service is at work.
inline bool is_at_work(std::string_view state) {
    return state == kProbingState || state == kHydratingState;
}

/// What is known of prebake-hydrate.service.
struct HydrationFacts {
    bool has_plan = false;
    bool is_plan_of_this_boot = false;  ///< what it names was written in this boot, so it is warm
    /// What the service wrote in this boot; nothing: it has not run.
    std::optional<v1::Hydration> progress = {};
    std::string problem = {};  ///< why its file cannot be read; empty: it can, or there is none
    bool is_silent = false;    ///< it stopped writing too long ago to be running
};

/// Nothing if there is nothing to hydrate.
std::optional<v1::NodeHydration> node_hydration(const HydrationFacts& facts);

/// "4.1 GiB of 6.5 GiB"
std::string warm_part(const v1::NodeHydration& hydration);

/// Rounded down: 100 means all.
unsigned warm_percent(const v1::NodeHydration& hydration);

/// For status: "63% (4.1 GiB of 6.5 GiB), 131.0 MiB/s, 18.0 s left; cold: 6.0 MiB/s at depth 1",
/// or "hot 310.0 MiB in 2.2 s, all 6.5 GiB in 1 min 36 s". Empty if there is nothing to show.
std::string hydration_line(const v1::NodeHydration& hydration);

}  // namespace prebake::report
