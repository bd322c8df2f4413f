#pragma once

#include <string>

namespace prebake::store {

/// The name in containerd of CRI's sandbox image ("pause"), which every pod needs and no list has
/// to name: `reported` by CRI, or, because containerd 2.x reports none, `configured` in its file.
/// Empty: both are. Pure.
std::string sandbox_name(const std::string& reported, const std::string& configured);

}  // namespace prebake::store
