#include "agent/hydrate/superblock.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace prebake::hydrate {
namespace {

constexpr std::size_t kSuperblockBytes = 2048;
constexpr std::uint64_t kSuperblockOffset = 1024;  // of ext4
// Descriptors of a file system of 64 TiB.
constexpr std::uint64_t kMaxGroups = 1ULL << 19;
constexpr std::uint64_t kMaxDescriptorBytes = 256;  // Linux has 64

/// Numbers at fixed places.
class Fields {
  public:
    explicit Fields(std::span<const std::byte> bytes) : bytes_(bytes) {}

    template <typename Number>
    std::uint64_t little(std::size_t at) const {
        std::uint64_t value = 0;
        for (std::size_t i = sizeof(Number); i > 0; --i) value = value << 8U | byte(at + i - 1);
        return value;
    }
    template <typename Number>
    std::uint64_t big(std::size_t at) const {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < sizeof(Number); ++i) value = value << 8U | byte(at + i);
        return value;
    }
    std::string uuid(std::size_t at) const {
        std::string text;
        for (std::size_t i = 0; i < 16; ++i) {
            if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
            constexpr std::string_view kDigits = "0123456789abcdef";
            text += kDigits[byte(at + i) >> 4U];
            text += kDigits[byte(at + i) & 15U];
        }
        return text;
    }

  private:
    std::uint64_t byte(std::size_t at) const { return std::to_integer<std::uint64_t>(bytes_[at]); }

    std::span<const std::byte> bytes_;
};

bool is_power_of_two(std::uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

InodePlaces::Ext4 read_tables(const Fields& super, std::uint64_t block_bytes, std::uint64_t groups,
                              const ReadDevice& read, std::vector<ByteRange>& basics) {
    constexpr std::uint64_t k64Bit = 0x80;
    const bool has_high = (super.little<std::uint32_t>(0x60) & k64Bit) != 0;
    const std::uint64_t size =
        has_high ? std::max<std::uint64_t>(32, super.little<std::uint16_t>(0xFE)) : 32;
    if (size > kMaxDescriptorBytes) return {};
    InodePlaces::Ext4 places{.inodes_per_group = super.little<std::uint32_t>(0x28),
                             .inode_bytes = super.little<std::uint16_t>(0x58),
                             .tables = {}};
    // In the block after the superblock's. s_first_data_block does not tell: with clusters
    // (bigalloc) of blocks of 1 KiB it is 0.
    const ByteRange descriptors{.offset = (kSuperblockOffset / block_bytes + 1) * block_bytes,
                                .length = groups * size};
    std::vector<std::byte> bytes(descriptors.length);
    if (read(descriptors.offset, bytes) < bytes.size()) return {};
    basics.push_back(descriptors);
    for (std::uint64_t group = 0; group < groups; ++group) {
        const Fields fields({bytes.data() + group * size, size});
        std::uint64_t block = fields.little<std::uint32_t>(8);
        if (size >= 64) block |= fields.little<std::uint32_t>(0x28) << 32U;
        places.tables.push_back(block * block_bytes);
    }
    return places;
}

std::optional<Superblock> read_ext4(std::span<const std::byte> bytes, const ReadDevice& read,
                                    Detail detail) {
    const Fields super(bytes.subspan(kSuperblockOffset));
    if (super.little<std::uint16_t>(0x38) != 0xEF53) return std::nullopt;
    Superblock found{.type = "ext4",
                     .uuid = super.uuid(0x68),
                     .inodes = {},
                     .basics = {{.offset = 0, .length = kSuperblockBytes}}};
    if (detail == Detail::identity) return found;
    constexpr std::uint64_t kMetaGroups = 0x10;
    const std::uint64_t block_log = super.little<std::uint32_t>(0x18);
    const std::uint64_t group_blocks = super.little<std::uint32_t>(0x20);
    const std::uint64_t incompatible = super.little<std::uint32_t>(0x60);
    if (block_log > 6 || group_blocks == 0 || (incompatible & kMetaGroups) != 0) return found;
    std::uint64_t blocks = super.little<std::uint32_t>(0x4);
    if ((incompatible & 0x80) != 0) blocks |= super.little<std::uint32_t>(0x150) << 32U;
    const std::uint64_t first_block = super.little<std::uint32_t>(0x14);
    if (first_block >= blocks) return found;
    const std::uint64_t groups = (blocks - first_block - 1) / group_blocks + 1;
    if (groups == 0 || groups > kMaxGroups) return found;
    found.inodes.ext4 = read_tables(super, 1024ULL << block_log, groups, read, found.basics);
    return found;
}

std::optional<Superblock> read_xfs(std::span<const std::byte> bytes, Detail detail) {
    const Fields super(bytes);
    if (super.big<std::uint32_t>(0) != 0x58465342) return std::nullopt;  // "XFSB"
    const bool has_realtime = super.big<std::uint64_t>(16) != 0;
    if (has_realtime) return std::nullopt;
    Superblock found{.type = "xfs", .uuid = super.uuid(32), .inodes = {}, .basics = {}};
    if (detail == Detail::identity) return found;
    const InodePlaces::Xfs places{
        .block_bytes = super.big<std::uint32_t>(4),
        .inode_bytes = super.big<std::uint16_t>(104),
        .group_blocks = super.big<std::uint32_t>(84),
        .groups = super.big<std::uint32_t>(88),
        .inodes_per_block_log = static_cast<unsigned>(super.big<std::uint8_t>(123)),
        .group_blocks_log = static_cast<unsigned>(super.big<std::uint8_t>(124))};
    if (!is_power_of_two(places.block_bytes) || places.group_blocks == 0 || places.groups == 0 ||
        places.groups > kMaxGroups || places.inodes_per_block_log > 16 ||
        places.group_blocks_log > 32) {
        return found;
    }
    // Superblock, free space, inodes and free list of each group: its first sectors.
    for (std::uint64_t group = 0; group < places.groups; ++group) {
        found.basics.push_back({.offset = group * places.group_blocks * places.block_bytes,
                                .length = 4 * places.block_bytes});
    }
    found.inodes.xfs = places;
    return found;
}

}  // namespace

std::optional<std::uint64_t> InodePlaces::place_of(std::uint64_t inode) const {
    if (ext4 && inode > 0 && ext4->inodes_per_group > 0) {
        const std::uint64_t group = (inode - 1) / ext4->inodes_per_group;
        if (group >= ext4->tables.size()) return std::nullopt;
        return ext4->tables[group] + (inode - 1) % ext4->inodes_per_group * ext4->inode_bytes;
    }
    if (xfs) {
        const std::uint64_t in_block = inode & ((1ULL << xfs->inodes_per_block_log) - 1);
        const std::uint64_t block = inode >> xfs->inodes_per_block_log;
        const std::uint64_t group = block >> xfs->group_blocks_log;
        const std::uint64_t in_group = block & ((1ULL << xfs->group_blocks_log) - 1);
        if (group >= xfs->groups || in_group >= xfs->group_blocks) return std::nullopt;
        return (group * xfs->group_blocks + in_group) * xfs->block_bytes +
               in_block * xfs->inode_bytes;
    }
    return std::nullopt;
}

std::optional<Superblock> read_superblock(const ReadDevice& read, Detail detail) {
    std::array<std::byte, kSuperblockBytes> bytes{};
    if (read(0, bytes) < bytes.size()) return std::nullopt;
    if (std::optional<Superblock> found = read_ext4(bytes, read, detail)) return found;
    return read_xfs(bytes, detail);
}

}  // namespace prebake::hydrate
