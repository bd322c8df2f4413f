#pragma once

#include <string_view>

#include "proto/prebake/v1/node.pb.h"

namespace prebake::report {

/// What clients wait for.
enum class Goal { ready, hydrated };

enum class GoalState {
    reached,
    open,      ///< not yet
    hopeless,  ///< not without somebody who does something about it
};

/// Ready: a node may always become ready. Hydrated: reached if the condition is True or
/// NotApplicable, hopeless if it failed or chunks could not be read. Pure.
GoalState state_of(const v1::NodeStatus& status, Goal goal);

}  // namespace prebake::report
