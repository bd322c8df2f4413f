#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace prebake::containerd {

/// What containerd's configuration file says, most of it about CRI. A field is empty if the file
/// does not set it.
struct ConfiguredRuntime {
    std::filesystem::path state;  ///< directory of what runs
    std::string snapshotter;
    std::string sandbox_image;
    /// The directories with a hosts.toml for each registry, in the order to search them.
    std::vector<std::filesystem::path> hosts_directories;
    // Of the plugin for image verifier programs (containerd 2.x).
    std::string verifier_directory = {};
    std::optional<std::int64_t> max_verifiers = {};
    std::string verifier_time_limit = {};  ///< a duration as Go writes it: "10s"
};

/// Reads `file` and the files that it imports, in configuration versions 1 to 3. A file that is
/// missing or malformed is not an error, because callers ask CRI first: the fields keep the values
/// that were read before it.
ConfiguredRuntime read_config_file(const std::filesystem::path& file);

}  // namespace prebake::containerd
