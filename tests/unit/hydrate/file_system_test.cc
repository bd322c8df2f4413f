#include "agent/hydrate/file_system.h"

#include <doctest/doctest.h>
#include <sys/sysmacros.h>

#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate::file_system_test {

TEST_CASE("mounts of block devices are read, and no others") {
    const std::vector<Mount> mounts = parse_mounts(
        "22 1 259:1 / / rw,noatime shared:1 - xfs /dev/nvme0n1p1 rw\n"
        "23 22 0:21 / /proc rw - proc proc rw\n"
        "24 22 0:45 /root /btrfs rw shared:9 - btrfs /dev/vdb rw\n"
        "25 22 253:0 /a\\040b /mnt/with\\040space\\134 rw - ext4 /dev/mapper/x rw\n"
        "26 22 8:1 / /without-optional rw - ext4 /dev/sda1 rw\n"
        "27 22 8:x / /bad rw - ext4 /dev/sda1 rw\n"
        "28 22 8:1 / /cut rw\n"
        "\n"
        "29 22 8:1 / /no-source rw - ext4");
    REQUIRE(mounts.size() == 3);
    CHECK(mounts[0].number == makedev(259, 1));
    CHECK(mounts[0].mount_point == "/");
    CHECK(mounts[0].type == "xfs");
    CHECK(mounts[0].source == "/dev/nvme0n1p1");
    CHECK(mounts[0].options == std::vector<std::string>{"rw"});
    CHECK(mounts[1].root == "/a b");
    CHECK(mounts[1].mount_point == "/mnt/with space\\");
    CHECK(mounts[2].mount_point == "/without-optional");
}

TEST_CASE("udev's links tell the UUID of a device that cannot be opened") {
    const TemporaryDirectory directory;
    const std::filesystem::path sys = directory / "sys";
    std::filesystem::create_directories(sys / "devices/vda/vda1");
    std::filesystem::create_directories(sys / "dev/block");
    std::filesystem::create_directories(directory / "by-uuid");
    std::filesystem::create_symlink("../../devices/vda/vda1", sys / "dev/block/252:1");
    std::filesystem::create_symlink("../../vda11", directory / "by-uuid/other");
    std::filesystem::create_symlink("../../vda1", directory / "by-uuid/ours");
    const auto uuid_of = [&](unsigned number) {
        return uuid_by_udev(makedev(252, number), directory / "by-uuid", sys);
    };
    CHECK(uuid_of(1) == "ours");
    CHECK(uuid_of(2).empty());
    CHECK(uuid_by_udev(makedev(252, 1), directory / "none", sys).empty());
}

}  // namespace prebake::hydrate::file_system_test
