#include "agent/hydrate/disk.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>

#include "agent/base/ascii.h"
#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/text.h"

namespace prebake::hydrate {
namespace {

constexpr std::size_t kMaxAttributeBytes = 4096;
// Device mapper on md on partitions; more than that is a loop.
constexpr int kMostLevels = 8;

std::string attribute(const std::filesystem::path& path) {
    try {
        return std::string(trimmed(read_file(path, kMaxAttributeBytes)));
    } catch (const Error&) {
        return {};  // this kind of device has no such attribute
    }
}

std::optional<std::uint64_t> attribute_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

/// SCSI disks have their serial in a page of binary data behind a header of four bytes.
std::string scsi_serial(const std::filesystem::path& disk) {
    constexpr std::size_t kHeader = 4;
    try {
        const std::string page = read_file(disk / "device" / "vpd_pg80", kMaxAttributeBytes);
        if (page.size() <= kHeader) return {};
        std::string serial(trimmed(std::string_view(page).substr(kHeader)));
        std::erase_if(serial, [](char c) { return !is_printable(c); });
        return serial;
    } catch (const Error&) {
        return {};
    }
}

Disk disk_in(const std::filesystem::path& directory, int level) {
    std::error_code ignored;
    Disk disk{.name = directory.filename().string()};
    disk.start = 0;
    disk.number = device_number(attribute(directory / "dev"));
    disk.model = attribute(directory / "device" / "model");
    disk.serial = attribute(directory / "device" / "serial");
    if (disk.serial.empty()) disk.serial = attribute(directory / "serial");  // virtio
    if (disk.serial.empty()) disk.serial = scsi_serial(directory);
    disk.kind = disk_kind(attribute(directory / "device" / "vendor"), disk.model);
    disk.is_rotational = attribute(directory / "queue" / "rotational") == "1";
    std::vector<Disk> parts;
    for (const auto& slave : std::filesystem::directory_iterator(directory / "slaves", ignored)) {
        const dev_t part = device_number(attribute(slave.path() / "dev"));
        if (part == 0 || level >= kMostLevels) continue;
        const std::filesystem::path below = std::filesystem::canonical(slave.path(), ignored);
        if (below.empty()) continue;
        const bool is_partition = std::filesystem::exists(below / "partition", ignored);
        parts.push_back(disk_in(is_partition ? below.parent_path() : below, level + 1));
    }
    std::ranges::sort(parts, {}, &Disk::name);
    return parts.empty() ? disk : composed_disk(disk, parts);
}

}  // namespace

std::string_view to_string(DiskKind kind) {
    switch (kind) {
        case DiskKind::ebs:
            return "ebs";
        case DiskKind::instance_store:
            return "instance_store";
        case DiskKind::gce:
            return "gce";
        case DiskKind::azure:
            return "azure";
        case DiskKind::other:
            break;
    }
    return "other";
}

DiskKind disk_kind(std::string_view vendor, std::string_view model) {
    struct Known {
        std::string_view model;
        DiskKind kind;
    };
    static constexpr std::array<Known, 8> kKnown{{
        {"Amazon Elastic Block Store", DiskKind::ebs},
        {"Amazon EC2 NVMe Instance Storage", DiskKind::instance_store},
        {"nvme_card-pd", DiskKind::gce},
        {"PersistentDisk", DiskKind::gce},
        {"nvme_card", DiskKind::instance_store},  // of Google: a local SSD
        {"EphemeralDisk", DiskKind::instance_store},
        {"MSFT NVMe Accelerator v1.0", DiskKind::azure},
        {"Microsoft NVMe Direct Disk", DiskKind::instance_store},
    }};
    for (const Known& known : kKnown) {
        if (model == known.model) return known.kind;
    }
    // Any virtual machine of Hyper-V has one; outside of Azure the probe finds it warm.
    if (vendor == "Msft" && model == "Virtual Disk") return DiskKind::azure;
    return DiskKind::other;
}

Disk composed_disk(const Disk& whole, const std::vector<Disk>& parts) {
    Disk disk = whole;
    disk.start = std::nullopt;
    disk.kind = parts.front().kind;
    disk.model = parts.front().model;
    disk.serial.clear();
    disk.is_rotational = false;
    for (const Disk& part : parts) {
        if (part.kind != disk.kind) disk.kind = DiskKind::other;
        disk.is_rotational = disk.is_rotational || part.is_rotational;
    }
    // Without the serial of each, one of them may have been replaced.
    if (std::ranges::all_of(parts, [](const Disk& part) { return !part.serial.empty(); })) {
        for (const Disk& part : parts)
            disk.serial += (disk.serial.empty() ? "" : "+") + part.serial;
    }
    return disk;
}

std::string device_text(dev_t device) {
    return std::to_string(major(device)) + ":" + std::to_string(minor(device));
}

dev_t device_number(std::string_view text) {
    unsigned major_number = 0;
    unsigned minor_number = 0;
    const char* const end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, major_number);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != ':') return 0;
    const auto second = std::from_chars(first.ptr + 1, end, minor_number);
    if (second.ec != std::errc() || second.ptr != end) return 0;
    return makedev(major_number, minor_number);
}

std::optional<std::uint64_t> bytes_of_open_device(int device) {
    std::uint64_t bytes = 0;
    if (::ioctl(device, BLKGETSIZE64, &bytes) != 0) return std::nullopt;
    return bytes;
}

std::uint64_t bytes_of_device(dev_t device, const std::filesystem::path& sys) {
    const std::filesystem::path known = sys / "dev" / "block" / device_text(device);
    return attribute_number(attribute(known / "size")).value_or(0) * kSectorBytes;
}

Disk find_disk(dev_t device, const std::filesystem::path& sys) {
    std::error_code problem;
    const std::filesystem::path directory =
        std::filesystem::canonical(sys / "dev" / "block" / device_text(device), problem);
    if (problem) return {};
    const bool is_partition = std::filesystem::exists(directory / "partition", problem);
    Disk disk = disk_in(is_partition ? directory.parent_path() : directory, 0);
    const auto sector = attribute_number(attribute(directory / "start"));
    if (disk.start && is_partition)
        disk.start = sector ? std::optional(*sector * kSectorBytes) : std::nullopt;
    return disk;
}

}  // namespace prebake::hydrate
