#pragma once

#include <filesystem>

#include "agent/node/keeper.h"

namespace prebake::cli {

/// What containerd's configuration file, with the files that it imports, says of CRI: the
/// snapshotter and the sandbox image, in the forms of configuration versions 1 to 3. Empty where it
/// says nothing, and for a file that is not there or cannot be read: CRI itself was asked first.
node::ConfiguredRuntime read_containerd_config(const std::filesystem::path& file);

}  // namespace prebake::cli
