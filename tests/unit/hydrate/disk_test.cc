#include "agent/hydrate/disk.h"

#include <doctest/doctest.h>
#include <sys/sysmacros.h>

#include <fstream>
#include <string>

#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace disk_test {

/// A sysfs of our own.
class Sysfs {
  public:
    const std::filesystem::path& path() const { return directory_.path(); }

    /// A directory below devices/, with its link in dev/block.
    std::filesystem::path add(const std::string& name, const std::string& number) {
        const std::filesystem::path device = path() / "devices" / name;
        write(device / "dev", number);
        std::filesystem::create_directories(path() / "dev" / "block");
        std::filesystem::create_symlink("../../devices/" + name, path() / "dev" / "block" / number);
        return device;
    }

    static void write(const std::filesystem::path& file, const std::string& text) {
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text << "\n";
    }

    std::filesystem::path add_disk(const std::string& name, const std::string& number,
                                   const std::string& model, const std::string& serial) {
        const auto device = add(name, number);
        write(device / "device" / "model", model + "     ");
        if (!serial.empty()) write(device / "device" / "serial", serial);
        write(device / "queue" / "rotational", "0");
        return device;
    }

    void add_slave(const std::filesystem::path& of, const std::string& name) {
        std::filesystem::create_directories(of / "slaves");
        const std::string last = std::filesystem::path(name).filename().string();
        std::filesystem::create_directory_symlink(path() / "devices" / name, of / "slaves" / last);
    }

  private:
    TemporaryDirectory directory_;
};

TEST_CASE("the kind of a disk by its model") {
    struct Row {
        const char* vendor;
        const char* model;
        DiskKind kind;
    };
    const Row rows[] = {
        {"", "Amazon Elastic Block Store", DiskKind::ebs},
        {"", "Amazon EC2 NVMe Instance Storage", DiskKind::instance_store},
        {"", "nvme_card-pd", DiskKind::gce},
        {"Google", "PersistentDisk", DiskKind::gce},
        {"Google", "EphemeralDisk", DiskKind::instance_store},
        {"", "nvme_card", DiskKind::instance_store},
        {"Msft", "Virtual Disk", DiskKind::azure},
        {"Other", "Virtual Disk", DiskKind::other},
        {"", "MSFT NVMe Accelerator v1.0", DiskKind::azure},
        {"", "Microsoft NVMe Direct Disk", DiskKind::instance_store},
        {"QEMU", "QEMU HARDDISK", DiskKind::other},
        {"", "", DiskKind::other},
    };
    for (const Row& row : rows) {
        CAPTURE(row.model);
        CHECK(disk_kind(row.vendor, row.model) == row.kind);
    }
}

TEST_CASE("a partition of an EBS volume") {
    Sysfs sysfs;
    const auto disk = sysfs.add_disk("nvme0n1", "259:0", "Amazon Elastic Block Store", "vol01");
    const auto partition = sysfs.add("nvme0n1/nvme0n1p1", "259:1");
    Sysfs::write(partition / "partition", "1");
    Sysfs::write(partition / "start", "24576");
    const Disk found = find_disk(makedev(259, 1), sysfs.path());
    CHECK(found.name == "nvme0n1");
    CHECK(found.model == "Amazon Elastic Block Store");
    CHECK(found.serial == "vol01");
    CHECK(found.kind == DiskKind::ebs);
    CHECK_FALSE(found.is_rotational);
    CHECK(found.start == 24576 * 512);
    CHECK(found.number == makedev(259, 0));
    CHECK(find_disk(makedev(259, 0), sysfs.path()).start == 0);
}

TEST_CASE("serials of SCSI and virtio disks") {
    Sysfs sysfs;
    const auto scsi = sysfs.add_disk("sda", "8:0", "PersistentDisk", "");
    std::ofstream(scsi / "device" / "vpd_pg80", std::ios::binary) << std::string(
        "\0\x80\0\x06"
        "disk-1",
        10);
    CHECK(find_disk(makedev(8, 0), sysfs.path()).serial == "disk-1");
    const auto virtio = sysfs.add_disk("vda", "252:0", "", "");
    Sysfs::write(virtio / "serial", "abc");
    CHECK(find_disk(makedev(252, 0), sysfs.path()).serial == "abc");
}

TEST_CASE("what device mapper and md put together") {
    struct Row {
        const char* name;
        const char* models[2];
        DiskKind kind;
    };
    const Row rows[] = {
        {"two EBS volumes",
         {"Amazon Elastic Block Store", "Amazon Elastic Block Store"},
         DiskKind::ebs},
        {"a RAID0 of disks of the host",
         {"Amazon EC2 NVMe Instance Storage", "Amazon EC2 NVMe Instance Storage"},
         DiskKind::instance_store},
        {"mixed",
         {"Amazon Elastic Block Store", "Amazon EC2 NVMe Instance Storage"},
         DiskKind::other},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Sysfs sysfs;
        sysfs.add_disk("nvme0n1", "259:0", row.models[0], "vol01");
        sysfs.add_disk("nvme1n1", "259:1", row.models[1], "vol02");
        const auto partition = sysfs.add("nvme1n1/nvme1n1p1", "259:2");
        Sysfs::write(partition / "partition", "1");
        const auto composed = sysfs.add("dm-0", "253:0");
        sysfs.add_slave(composed, "nvme0n1");
        sysfs.add_slave(composed, "nvme1n1/nvme1n1p1");
        const Disk found = find_disk(makedev(253, 0), sysfs.path());
        CHECK(found.name == "dm-0");
        CHECK(found.kind == row.kind);
        CHECK(found.serial == "vol01+vol02");
        CHECK_FALSE(found.start);
        CHECK(found.number == makedev(253, 0));
    }
}

TEST_CASE("a device that sysfs does not know") {
    const Sysfs sysfs;
    const Disk found = find_disk(makedev(1, 1), sysfs.path());
    CHECK(found.kind == DiskKind::other);
    CHECK(found.serial.empty());
    CHECK_FALSE(found.start);
}

}  // namespace disk_test

}  // namespace prebake::hydrate
