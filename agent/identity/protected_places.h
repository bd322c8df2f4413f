#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/root.h"

namespace prebake::identity {

/// Directories of container images, and of prebake itself, as they are called in `root`: under
/// their usual names, and under those that links lead to.
std::vector<std::string> image_places(const Root& root);

/// True if `path` is, contains or lies in one of them. Pure.
bool touches(const std::string& path, const std::vector<std::string>& places);

}  // namespace prebake::identity
