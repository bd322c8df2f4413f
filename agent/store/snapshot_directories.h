#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/containerd/snapshots.h"

namespace prebake::store {

/// Where the files of an active snapshot, or of a view, are on this machine.
struct SnapshotDirectories {
    std::filesystem::path upper;                ///< the files of this snapshot alone; not of a view
    std::vector<std::filesystem::path> lowers;  ///< of the snapshots below, the nearest first
    /// Not empty: the files cannot be reached from here, for this reason. The paths are then empty.
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

/// The same of a view: `lowers` are the directories of `layers` committed snapshots, the uppermost
/// first. An obstacle too if one of them is a mount of its own: its files come from elsewhere.
SnapshotDirectories viewed_directories_of(const std::vector<containerd::Mount>& mounts,
                                          std::size_t layers);

}  // namespace prebake::store
