#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/containerd/introspection.h"
#include "agent/oci/digest.h"

namespace prebake::store {

/// What is left on containerd's disk, or disks.
struct FreeSpace {
    std::uint64_t content_bytes = 0;   ///< where the content store is
    std::uint64_t snapshot_bytes = 0;  ///< where the snapshots are; the least, if on several disks
    bool on_one_disk = false;          ///< the two are the same
};

/// Where this containerd stores its data, if its plugins report it and it is visible from here.
class Storage {
  public:
    explicit Storage(std::vector<containerd::Plugin> plugins) : plugins_(std::move(plugins)) {}

    /// @throws Error usage naming those that work, if `snapshotter` is none of them.
    void require_snapshotter(const std::string& snapshotter) const;

    /// Writes back what was unpacked. Where the directory is not visible to us, containerd's own
    /// sync_fs (1.7.14 and later) is all there is. @throws Error no_space, io.
    void sync_snapshotter(const std::string& snapshotter) const;
    /// Writes back the content store: up to 2.1 containerd does not sync its directory entries.
    void sync_content() const;

    /// The directory of the content store, as containerd names it; nothing if it does not.
    std::optional<std::filesystem::path> content_directory() const;

    /// True if the blob's file is seen in the content store, of this size. False also where the
    /// store is not visible to us.
    bool sees_blob(const oci::Digest& digest, std::uint64_t size) const;

    /// Free space where blobs and the snapshots of `snapshotters` go; nothing if not visible.
    std::optional<FreeSpace> free_space(const std::vector<std::string>& snapshotters) const;

  private:
    std::optional<std::filesystem::path> root_of(std::string_view type, std::string_view id) const;

    std::vector<containerd::Plugin> plugins_;
};

}  // namespace prebake::store
