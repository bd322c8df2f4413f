#pragma once

#include <string>

#include "agent/containerd/connection.h"
#include "agent/containerd/images.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::store {

/// The name in containerd of CRI's sandbox image ("pause"), which every pod needs and no list has
/// to name: `reported` by CRI, or, because containerd 2.x reports none, `configured` in its file.
/// Empty: both are. Pure.
std::string sandbox_name(const std::string& reported, const std::string& configured);

/// CRI's sandbox image as a bake record would describe it, with the names that it has in
/// containerd. @throws Error as describe_stored().
v1::BakedImage describe_sandbox(const containerd::Connection& connection,
                                const containerd::Image& held, const std::string& snapshotter);

}  // namespace prebake::store
