#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "agent/base/error.h"

namespace prebake {

/// What is added to the name of a state file that cannot be used, by the error of reading it:
/// ".newer" for one that a later version of prebake wrote (unsupported), ".corrupt" for a damaged
/// one (corrupt, too_large). Empty if `why` says nothing about what is in the file. Pure.
std::string_view ending_aside(const Error& why);

/// Renames a state file that cannot be used, so that a new one can be written. Returns its new
/// name; nothing, and leaves the file alone, if there is no ending_aside(). @throws Error
/// permission_denied, io.
std::optional<std::filesystem::path> set_aside(const std::filesystem::path& path, const Error& why);

}  // namespace prebake
