#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/hydrate/superblock.h"

namespace prebake::hydrate {

/// One line of /proc/self/mountinfo (proc(5)) about a block device.
struct Mount {
    dev_t number = 0;
    std::filesystem::path root;  ///< what of the file system is mounted: "/" is all of it
    std::filesystem::path mount_point;
    std::string type;
    std::filesystem::path source;      ///< the device, as it was named; may be another name
    std::vector<std::string> options;  ///< of the file system: "rw", "errors=remount-ro"
};

/// Lines without a block device (tmpfs, overlay, btrfs, whose numbers are not the device's) are
/// left out, and so are lines of another form. Pure.
std::vector<Mount> parse_mounts(std::string_view mountinfo);

/// A mounted file system that is on a block device of its own.
struct FileSystem {
    dev_t number = 0;  ///< the device's: st_dev of the files
    std::filesystem::path mount_point;
    std::filesystem::path device;  ///< /dev/nvme0n1p1
    std::uint64_t bytes = 0;       ///< of the device
    Superblock superblock;
    /// Why the superblock could not be read; then it has only the type, and the UUID that udev has
    /// found. Empty: it was read.
    std::string unread;
};

/// The UUID of the file system on a device, by the links of udev in `links`; empty if it has none.
/// Neither the device nor its node in /dev is needed.
std::string uuid_by_udev(dev_t number, const std::filesystem::path& links = "/dev/disk/by-uuid",
                         const std::filesystem::path& sys = "/sys");

/// The file systems of a machine, read once from the first to the last.
class FileSystems {
  public:
    /// Of this process' mount namespace. @throws Error io.
    explicit FileSystems(Detail detail);

    const std::vector<Mount>& mounts() const { return mounts_; }

    /// The file system with this number; null if its places on a device cannot be known. Read once
    /// for each number.
    const FileSystem* find(dev_t number);
    /// Why find() returns null.
    std::string why_not(dev_t number);

  private:
    struct Known {
        dev_t number = 0;
        std::unique_ptr<FileSystem> file_system;
        std::string why_not;
    };
    const Known& known(dev_t number);
    Known read(dev_t number) const;
    Known without_device(const Mount& mount, const std::filesystem::path& device,
                         const std::string& problem) const;

    Detail detail_;
    std::vector<Mount> mounts_;
    std::vector<Known> known_;
};

}  // namespace prebake::hydrate
