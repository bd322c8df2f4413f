#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/hydrate/chunk_set.h"
#include "agent/hydrate/file_system.h"

namespace prebake::hydrate {

/// Where an open regular file or directory is on its file system's device (FS_IOC_FIEMAP; of XFS'
/// directories XFS_IOC_GETBMAPX). Without
/// what is not there yet (delayed allocation), was never written, or is in the inode.
/// @throws Error io; unsupported if the file system does not tell.
std::vector<FileRange> extents_of(int fd, const std::filesystem::path& name, FileRange within);

/// Chunks by the device that they are on: st_dev.
using Places = std::map<dev_t, ChunkSet>;

/// Finds which chunks somebody reads who opens a file: its inode, what is read of it, and the same
/// of the directories above, up to the root of the file system. Files that are on no device whose
/// places are known are counted.
class FilePlaces {
  public:
    explicit FilePlaces(FileSystems& file_systems) : file_systems_(file_systems) {}

    /// The whole file, or the directory with all that is in it, and the directories above. A link
    /// is a file. Does nothing if there is no such path. Stays on one file system.
    /// @throws Error permission_denied, io.
    void add_tree(const std::filesystem::path& path);
    /// The ranges of a regular file, and the directories above. Does nothing if there is no such
    /// file: it may have been recorded in another version of the layer.
    void add_ranges(const std::filesystem::path& path, const std::vector<FileRange>& ranges);

    /// What was added since the last call.
    Places take();
    /// Why the places of files on these devices are not known.
    const std::map<dev_t, std::string>& unknown() const { return unknown_; }

  private:
    struct Device {
        const FileSystem* file_system = nullptr;  ///< null: places are not known
        ChunkSet chunks;
    };
    Device& device_of(dev_t number);
    void add_parents(const std::filesystem::path& path);
    void add_inode(Device& device, std::uint64_t inode);
    void add_contents(Device& device, int fd, const std::filesystem::path& name, FileRange within);
    void add_directory(const std::filesystem::path& path,
                       std::vector<std::filesystem::path>& to_visit);

    FileSystems& file_systems_;
    std::map<dev_t, Device> devices_;
    std::map<dev_t, std::string> unknown_;
    std::set<std::filesystem::path> parents_;  ///< that were added since the last take()
};

}  // namespace prebake::hydrate
