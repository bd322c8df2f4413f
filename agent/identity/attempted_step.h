#pragma once

#include <functional>
#include <string>

#include "agent/base/error.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

/// problem_of() for a report in JSON. File names in it may contain any bytes.
v1::Problem printable_problem(const Error& error);

/// Runs `work` and returns its outcome: DONE, or FAILED with the problem. `next_step` is for an
/// Error that has none. @throws Error cancelled.
v1::Step attempt_step(const std::string& name, const std::string& next_step,
                      const std::function<void()>& work);

}  // namespace prebake::identity
