#pragma once

#include <stop_token>

#include "agent/hydrate/hydrator_options.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// Reads what the plan has, and writes how far it is to hydration.json in both directories.
/// The result is the last of these documents. What cannot be read is in it; it is no error. After a
/// stop its state is "incomplete".
/// @throws Error conflict if another process hydrates; as read_plan() if the plan cannot be used
/// (except not_found); permission_denied, io, no_space if the documents cannot be written.
v1::Hydration hydrate(const HydratorOptions& options, const std::stop_token& stop);

}  // namespace prebake::hydrate
