#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace prebake::docker {

/// What dockerd's configuration file says about the image store. Keys that are not there are empty.
struct DaemonFile {
    std::filesystem::path path = "/etc/docker/daemon.json";
    std::optional<bool> containerd_snapshotter = {};  ///< in "features"
    /// Also in "features": dockerd moves images from a graph driver to containerd when it starts.
    bool migrates = false;
    std::string storage_driver = {};
    std::string userns_remap = {};
};

/// Empty if there is no such file, or if it cannot be read or understood: it only explains what
/// dockerd does, which dockerd itself is asked.
DaemonFile read_daemon_file(const std::filesystem::path& path);

}  // namespace prebake::docker
