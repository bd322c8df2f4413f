#pragma once

#include <filesystem>
#include <optional>

#include "agent/base/error.h"

namespace prebake {

/// Renames a state file that cannot be used, so that a new one can be written: to "….newer" if a
/// later version of prebake wrote it (`why` is unsupported), to "….corrupt" if it is damaged
/// (corrupt, too_large). Returns its new name; nothing, and leaves the file alone, if `why` says
/// nothing about what is in the file. @throws Error permission_denied, io.
std::optional<std::filesystem::path> set_aside(const std::filesystem::path& path, const Error& why);

}  // namespace prebake
