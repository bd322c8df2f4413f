#include "agent/hydrate/superblock.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

namespace prebake::hydrate::superblock_test {

/// A device of which only what was written is not zero.
class Device {
  public:
    template <typename Number>
    void little(std::size_t at, std::uint64_t value) {
        for (std::size_t i = 0; i < sizeof(Number); ++i) {
            bytes_[at + i] = static_cast<std::byte>(value >> (8 * i));
        }
    }
    template <typename Number>
    void big(std::size_t at, std::uint64_t value) {
        for (std::size_t i = 0; i < sizeof(Number); ++i) {
            bytes_[at + i] = static_cast<std::byte>(value >> (8 * (sizeof(Number) - 1 - i)));
        }
    }
    void uuid(std::size_t at) {
        for (std::size_t i = 0; i < 16; ++i) bytes_[at + i] = static_cast<std::byte>(i * 17);
    }
    ReadDevice reader() {
        return [this](std::uint64_t offset, std::span<std::byte> buffer) {
            if (offset >= size) return std::size_t{0};
            const std::size_t count = std::min(buffer.size(), size - std::size_t{offset});
            std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), count,
                        buffer.begin());
            return count;
        };
    }

    std::size_t size = 65536;

  private:
    std::vector<std::byte> bytes_ = std::vector<std::byte>(65536);
};

constexpr const char* kUuid = "00112233-4455-6677-8899-aabbccddeeff";

/// 3 groups of 8192 blocks of 4 KiB, with 2048 inodes of 256 bytes each.
Device ext4(bool is_64_bit) {
    Device device;
    const std::size_t super = 1024;
    device.little<std::uint32_t>(super + 0x4, 20'000);
    device.little<std::uint32_t>(super + 0x18, 2);
    device.little<std::uint32_t>(super + 0x20, 8192);
    device.little<std::uint32_t>(super + 0x28, 2048);
    device.little<std::uint16_t>(super + 0x38, 0xEF53);
    device.little<std::uint16_t>(super + 0x58, 256);
    device.uuid(super + 0x68);
    const std::size_t size = is_64_bit ? 64 : 32;
    if (is_64_bit) {
        device.little<std::uint32_t>(super + 0x60, 0x80);
        device.little<std::uint16_t>(super + 0xFE, size);
    }
    for (std::size_t group = 0; group < 3; ++group) {
        device.little<std::uint32_t>(4096 + group * size + 8, 100 + group * 1000);
        if (is_64_bit) device.little<std::uint32_t>(4096 + group * size + 0x28, group);
    }
    return device;
}

TEST_CASE("inodes of an ext4 are in the tables of its groups") {
    for (const bool is_64_bit : {false, true}) {
        CAPTURE(is_64_bit);
        Device device = ext4(is_64_bit);
        const std::optional<Superblock> found = read_superblock(device.reader(), Detail::places);
        REQUIRE(found);
        CHECK(found->type == "ext4");
        CHECK(found->uuid == kUuid);
        CHECK_FALSE(read_superblock(device.reader(), Detail::identity)->inodes.place_of(1));
        REQUIRE(found->basics.size() == 2);
        CHECK(found->basics[1].offset == 4096);
        const std::uint64_t high = is_64_bit ? 1ULL << 32U : 0;
        CHECK(found->inodes.place_of(1) == 100 * 4096);
        CHECK(found->inodes.place_of(2048) == 100 * 4096 + 2047 * 256);
        CHECK(found->inodes.place_of(2049) == (high + 1100) * 4096);
        CHECK(found->inodes.place_of(3 * 2048) == (high * 2 + 2100) * 4096 + 2047 * 256);
        CHECK_FALSE(found->inodes.place_of(3 * 2048 + 1));
        CHECK_FALSE(found->inodes.place_of(0));
    }
}

TEST_CASE("blocks of 1 KiB begin with block 1, but not if an ext4 has clusters of them") {
    for (const std::uint64_t first_block : {1U, 0U}) {
        CAPTURE(first_block);
        Device device = ext4(false);
        device.little<std::uint32_t>(1024 + 0x4, 3 * 8192 + first_block);
        device.little<std::uint32_t>(1024 + 0x14, first_block);
        device.little<std::uint32_t>(1024 + 0x18, 0);
        for (std::uint32_t group = 0; group < 3; ++group) {
            device.little<std::uint32_t>(2048 + group * 32 + 8, 300 + group);
        }
        const std::optional<Superblock> found = read_superblock(device.reader(), Detail::places);
        REQUIRE(found);
        CHECK(found->inodes.place_of(2049) == 301 * 1024);
        CHECK(found->inodes.place_of(3 * 2048) == 302 * 1024 + 2047 * 256);
        CHECK_FALSE(found->inodes.place_of(3 * 2048 + 1));
    }
}

TEST_CASE("an ext4 whose descriptors are not known has no places of inodes, but a UUID") {
    const auto spoil = [](auto change) {
        Device device = ext4(true);
        change(device);
        const std::optional<Superblock> found = read_superblock(device.reader(), Detail::places);
        REQUIRE(found);
        CHECK(found->uuid == kUuid);
        CHECK_FALSE(found->inodes.place_of(1));
    };
    SUBCASE("meta_bg") {
        spoil([](Device& it) { it.little<std::uint32_t>(1024 + 0x60, 0x90); });
    }
    SUBCASE("no size of groups") {
        spoil([](Device& it) { it.little<std::uint32_t>(1024 + 0x20, 0); });
    }
    SUBCASE("a block size that no machine has") {
        spoil([](Device& it) { it.little<std::uint32_t>(1024 + 0x18, 60); });
    }
    SUBCASE("more groups than any device has") {
        spoil([](Device& it) { it.little<std::uint32_t>(1024 + 0x150, 0xFFFFFFFF); });
    }
    SUBCASE("no inodes in a group") {
        spoil([](Device& it) { it.little<std::uint32_t>(1024 + 0x28, 0); });
    }
    SUBCASE("a device that ends before its descriptors") {
        spoil([](Device& it) { it.size = 4000; });
    }
}

TEST_CASE("the number of an XFS inode is its place") {
    Device device;
    device.big<std::uint32_t>(0, 0x58465342);
    device.big<std::uint32_t>(4, 4096);
    device.uuid(32);
    device.big<std::uint32_t>(84, 5000);  // blocks in a group: needs 13 bits
    device.big<std::uint32_t>(88, 4);
    device.big<std::uint16_t>(104, 512);
    device.big<std::uint8_t>(123, 3);
    device.big<std::uint8_t>(124, 13);
    const std::optional<Superblock> found = read_superblock(device.reader(), Detail::places);
    REQUIRE(found);
    CHECK(found->type == "xfs");
    CHECK(found->uuid == kUuid);
    CHECK(found->inodes.place_of(128) == 16 * 4096);
    CHECK(found->inodes.place_of(131) == 16 * 4096 + 3 * 512);
    CHECK(found->inodes.place_of((2ULL << 16U) + 8 * 9 + 1) == (2 * 5000 + 9) * 4096 + 512);
    CHECK_FALSE(found->inodes.place_of(5000ULL << 3U));
    CHECK_FALSE(found->inodes.place_of(4ULL << 16U));
    REQUIRE(found->basics.size() == 4);
    CHECK(found->basics[3].offset == 3ULL * 5000 * 4096);
    device.big<std::uint8_t>(124, 60);
    CHECK_FALSE(read_superblock(device.reader(), Detail::places)->inodes.place_of(128));
    device.big<std::uint64_t>(16, 1000);  // files of a realtime section are on another device
    CHECK_FALSE(read_superblock(device.reader(), Detail::identity));
}

TEST_CASE("other devices have no superblock that is known") {
    Device device;
    CHECK_FALSE(read_superblock(device.reader(), Detail::places));
    device.size = 100;
    CHECK_FALSE(read_superblock(device.reader(), Detail::places));
}

}  // namespace prebake::hydrate::superblock_test
