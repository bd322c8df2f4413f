#pragma once

#include "agent/base/error.h"
#include "proto/prebake/v1/problem.pb.h"

namespace prebake {

/// An Error as reports and files contain it.
v1::Problem problem_of(const Error& error);

}  // namespace prebake
