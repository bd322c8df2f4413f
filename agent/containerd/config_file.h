#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace prebake::containerd {

/// What containerd's configuration file says about CRI. A field is empty if the file does not set
/// it.
struct ConfiguredRuntime {
    std::string snapshotter;
    std::string sandbox_image;
    /// The directories with a hosts.toml for each registry, in the order to search them.
    std::vector<std::filesystem::path> hosts_directories;
};

/// Reads `file` and the files that it imports, in configuration versions 1 to 3. A file that is
/// missing or malformed is not an error, because callers ask CRI first: the fields keep the values
/// that were read before it.
ConfiguredRuntime read_config_file(const std::filesystem::path& file);

}  // namespace prebake::containerd
