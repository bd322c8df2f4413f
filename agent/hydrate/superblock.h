#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// What a file system says of itself on its device. Pure, except for `read`.
namespace prebake::hydrate {

/// Reads up to `buffer.size()` bytes at an offset of the device; returns how many there were.
using ReadDevice = std::function<std::size_t(std::uint64_t offset, std::span<std::byte> buffer)>;

/// Where the inodes of an ext4 or XFS are: files are opened through them.
class InodePlaces {
  public:
    /// The offset of the inode on the device; nothing for a number that the file system cannot
    /// have.
    std::optional<std::uint64_t> place_of(std::uint64_t inode) const;

    struct Ext4 {
        std::uint64_t inodes_per_group = 0;
        std::uint64_t inode_bytes = 0;
        std::vector<std::uint64_t> tables;  ///< of each group, in bytes
    };
    struct Xfs {
        std::uint64_t block_bytes = 0;
        std::uint64_t inode_bytes = 0;
        std::uint64_t group_blocks = 0;
        std::uint64_t groups = 0;
        unsigned inodes_per_block_log = 0;
        unsigned group_blocks_log = 0;
    };
    std::optional<Ext4> ext4;
    std::optional<Xfs> xfs;
};

/// Bytes of a device or a file.
struct ByteRange {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

struct Superblock {
    std::string type;  ///< ext4 (also for ext2 and ext3), xfs
    std::string uuid;  ///< as blkid writes it
    InodePlaces inodes;
    /// What is needed to find any file: superblock and group descriptors, or the headers of
    /// allocation groups.
    std::vector<ByteRange> basics;
};

enum class Detail {
    identity,  ///< type and UUID, from bytes that the kernel has read to mount it
    places     ///< all
};

/// Nothing if it is neither of the two, or an XFS with a realtime section: places of its files may
/// be on that, which is another device. A file system of a form that is not understood (ext4 with
/// meta_bg) has no places of inodes. Sources: the kernel's Documentation/filesystems/ext4
/// ("super", "group_descr"), "XFS Filesystem Disk Structures" (superblocks, inode numbers).
/// @throws Error io if `read` throws it.
std::optional<Superblock> read_superblock(const ReadDevice& read, Detail detail);

}  // namespace prebake::hydrate
