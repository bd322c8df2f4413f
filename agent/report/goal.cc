#include "agent/report/goal.h"

#include <algorithm>

#include "agent/report/conditions.h"
#include "agent/report/hydration_condition.h"

namespace prebake::report {
namespace {

GoalState state_of_hydration(const v1::NodeStatus& status) {
    const auto found =
        std::find_if(status.conditions().begin(), status.conditions().end(),
                     [](const v1::Condition& condition) { return condition.type() == kHydrated; });
    // None before the first check.
    if (found == status.conditions().end()) return GoalState::open;
    if (is_met(*found)) return GoalState::reached;
    const bool is_over =
        found->reason() == kHydrationIncompleteReason || found->reason() == kHydrationFailedReason;
    return is_over ? GoalState::hopeless : GoalState::open;
}

}  // namespace

GoalState state_of(const v1::NodeStatus& status, Goal goal) {
    if (goal == Goal::hydrated) return state_of_hydration(status);
    return status.ready() ? GoalState::reached : GoalState::open;
}

}  // namespace prebake::report
