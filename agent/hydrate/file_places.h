#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "agent/hydrate/chunk_set.h"
#include "agent/hydrate/file_ranges.h"
#include "agent/hydrate/file_system.h"

namespace prebake::hydrate {

/// Opens a regular file at a path in `root` without links on the way to it; nothing otherwise. To
/// open a device may do something.
FileDescriptor open_in(const std::filesystem::path& root, const std::string& path);

/// Where an open regular file or directory is on its file system's device (FS_IOC_FIEMAP; of XFS'
/// directories XFS_IOC_GETBMAPX). Without what is not there yet (delayed allocation), was never
/// written, or is in the inode.
/// @throws Error io; unsupported if the file system does not tell.
std::vector<ByteRange> extents_of(int fd, const std::filesystem::path& name, ByteRange within);

/// Where the first byte of an open file is on the device; nothing if it has no place, or none that
/// the file system tells. `name` stands for it in errors.
std::optional<std::uint64_t> place_of_start(int fd, const std::filesystem::path& name);

/// Chunks by the device that they are on: st_dev.
using Places = std::map<dev_t, ChunkSet>;

/// Finds which chunks somebody reads who opens a file: its inode, what is read of it, and the same
/// of the directories above, up to the root. Without files that are on no device whose places are
/// known, and those that cannot be read: they are counted, because a plan without them is better
/// than none.
class FilePlaces {
  public:
    explicit FilePlaces(FileSystems& file_systems) : file_systems_(file_systems) {}

    /// The whole file, or the directory with all that is in it, and the directories above. A link
    /// is a file. Does nothing if there is no such path. Stays on one file system.
    void add_tree(const std::filesystem::path& path);
    /// The ranges of a regular file at a path in `root`, and the directories above. Does nothing if
    /// there is no such file without links on the way: another machine has recorded it, and a layer
    /// may have a link to anywhere in its place.
    void add_ranges(const std::filesystem::path& root, const std::string& path,
                    const FileRanges& ranges);

    /// What was added since the last call.
    Places take();
    /// Why the places of files on these devices are not known.
    const std::map<dev_t, std::string>& unknown() const { return unknown_; }
    /// Why files or directories are left out, for people; empty: none is.
    std::string left_out() const;

  private:
    struct Device {
        const FileSystem* file_system = nullptr;  ///< null: places are not known
        ChunkSet chunks;
    };
    Device& device_of(dev_t number);
    template <typename Add>
    void unless_unreadable(const Add& add);
    void add_parents(const std::filesystem::path& path);
    void add_inode(Device& device, std::uint64_t inode);
    void add_contents(Device& device, int fd, const std::filesystem::path& name, ByteRange within);
    void add_directory(const std::filesystem::path& path,
                       std::vector<std::filesystem::path>& to_visit);
    void add_file(const std::filesystem::path& path);

    FileSystems& file_systems_;
    std::map<dev_t, Device> devices_;
    std::map<dev_t, std::string> unknown_;
    std::set<std::filesystem::path> parents_;  ///< that were added since the last take()
    std::size_t unreadable_ = 0;
    std::string first_problem_;
};

}  // namespace prebake::hydrate
