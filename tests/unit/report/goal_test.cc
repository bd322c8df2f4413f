#include "agent/report/goal.h"

#include <doctest/doctest.h>

namespace prebake::report::goal_test {

TEST_CASE("what ends waiting") {
    struct Row {
        const char* name;
        bool is_ready;
        const char* status;  ///< of Hydrated; empty: the daemon has just started
        const char* reason;
        GoalState ready;
        GoalState hydrated;
    };
    constexpr GoalState kReached = GoalState::reached;
    constexpr GoalState kOpen = GoalState::open;
    constexpr GoalState kHopeless = GoalState::hopeless;
    const Row rows[] = {
        {"just started", false, "", "", kOpen, kOpen},
        {"hydrated", false, "True", "Hydrated", kOpen, kReached},
        {"nothing to hydrate", true, "NotApplicable", "NotNeeded", kReached, kReached},
        {"hydrating", true, "False", "Hydrating", kReached, kOpen},
        {"not run yet", true, "Unknown", "NotRun", kReached, kOpen},
        {"killed: systemd may start it again", true, "False", "HydrationStopped", kReached, kOpen},
        {"incomplete", true, "False", "HydrationIncomplete", kReached, kHopeless},
        {"failed", false, "False", "HydrationFailed", kOpen, kHopeless},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        v1::NodeStatus status;
        status.set_ready(row.is_ready);
        status.add_conditions()->set_type("ImagesPresent");
        if (*row.status != '\0') {
            v1::Condition& condition = *status.add_conditions();
            condition.set_type("Hydrated");
            condition.set_status(row.status);
            condition.set_reason(row.reason);
        }
        CHECK(state_of(status, Goal::ready) == row.ready);
        CHECK(state_of(status, Goal::hydrated) == row.hydrated);
    }
}

}  // namespace prebake::report::goal_test
