#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "agent/containerd/introspection.h"
#include "agent/oci/digest.h"

namespace prebake::store {

/// Free space on the disks of containerd.
struct FreeSpace {
    std::uint64_t content_bytes = 0;   ///< where the content store is
    std::uint64_t snapshot_bytes = 0;  ///< where the snapshots are; the minimum of several disks
    bool on_one_disk = false;          ///< content and snapshots share the disk
};

/// The directories of containerd, as its plugins report them. They may not be visible from here.
class Storage {
  public:
    explicit Storage(std::vector<containerd::Plugin> plugins) : plugins_(std::move(plugins)) {}

    /// @throws Error usage if `snapshotter` does not work, naming those that do.
    void require_snapshotter(const std::string& snapshotter) const;

    /// The file system of the snapshots; nothing if containerd does not report it. If it is not
    /// visible from here, containerd 1.7.14 and later sync it themselves.
    /// @throws Error permission_denied, io.
    std::optional<OpenedFileSystem> open_snapshotter(const std::string& snapshotter) const;
    /// Syncs the file system of the content store: containerd up to 2.1 does not sync its directory
    /// entries.
    void sync_content() const;

    /// The directory of the content store; nothing if containerd does not report it.
    std::optional<std::filesystem::path> content_directory() const;

    /// True if the blob's file is in the content store and has this size. False if the store is not
    /// visible from here.
    bool sees_blob(const oci::Digest& digest, std::uint64_t size) const;

    /// The blob's file, opened for reading; nothing if the store is not visible from here, or the
    /// file is not there.
    FileDescriptor open_blob(const oci::Digest& digest) const;

    /// Where the blob's file is; nothing if containerd does not report its content store.
    std::optional<std::filesystem::path> path_of(const oci::Digest& digest) const;

    /// The files without which containerd knows of no image: its database, and those of the
    /// snapshotters that have one (those with layers as directories call it metadata.db).
    std::vector<std::filesystem::path> databases(
        const std::vector<std::string>& snapshotters) const;

    /// Free space for blobs and for the snapshots of `snapshotters`; nothing if the directories are
    /// not visible from here.
    std::optional<FreeSpace> free_space(const std::vector<std::string>& snapshotters) const;

  private:
    std::optional<std::filesystem::path> exported(std::string_view type, std::string_view id,
                                                  const std::string& key) const;
    std::optional<std::filesystem::path> root_of(std::string_view type, std::string_view id) const;

    std::vector<containerd::Plugin> plugins_;
};

}  // namespace prebake::store
