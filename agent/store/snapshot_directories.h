#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/containerd/snapshots.h"

namespace prebake::store {

/// Where an active snapshot's files are on this machine.
struct SnapshotDirectories {
    std::filesystem::path upper;                ///< the files of this snapshot alone
    std::vector<std::filesystem::path> lowers;  ///< of the snapshots below, the nearest first
    /// Not empty: the files cannot be written from here, for this reason. The paths are then empty.
    std::string obstacle;
    /// The obstacle is that containerd's directory is not at this path for this process.
    bool is_hidden = false;
};

/// Understands the two mounts of an overlayfs snapshotter: a writable bind of a directory (a
/// snapshot without a parent), and an overlay. Mounts that map users, or that say where whiteouts
/// are in another form (`userxattr`), are an obstacle, as is any other kind of mount: containerd
/// writes those snapshots. Pure.
SnapshotDirectories directories_of(const std::vector<containerd::Mount>& mounts);

/// The same, with an obstacle if one of the directories is not visible from here, for example
/// because containerd runs in another mount namespace.
SnapshotDirectories visible_directories_of(const std::vector<containerd::Mount>& mounts);

}  // namespace prebake::store
