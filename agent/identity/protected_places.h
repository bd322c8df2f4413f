#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity {

/// The directories of container images and of prebake in `root`: their usual paths, those below
/// Docker's data roots, and the targets of links there.
std::vector<std::string> image_places(const machine::Root& root);

/// True if `path` is, contains or lies in one of them. Pure.
bool touches(const std::string& path, const std::vector<std::string>& places);

/// Checks a pattern that the administrator wants to remove, so that it cannot match what the
/// machine needs or what was baked. It must be absolute or start with "~/", have at least two
/// components and no "..", and must not be, contain or be in a directory of containerd's or
/// Docker's images or of prebake's state.
/// @throws Error usage.
void validate_pattern(const std::string& pattern);

}  // namespace prebake::identity
