#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity {

/// Directories of container images, and of prebake itself, as they are called in `root`: under
/// their usual names, and under those that links lead to.
std::vector<std::string> image_places(const machine::Root& root);

/// True if `path` is, contains or lies in one of them. Pure.
bool touches(const std::string& path, const std::vector<std::string>& places);

/// Refuses a pattern that could hit the machine itself or what was baked: it must be absolute or
/// begin with "~/", have two components at least, no "..", and must not name, contain or lie in a
/// directory of containerd's or Docker's images or prebake's own state.
/// @throws Error usage.
void validate_pattern(const std::string& pattern);

}  // namespace prebake::identity
