#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::hydrate {

/// The unit in which the kernel counts on every block device.
inline constexpr std::uint64_t kSectorBytes = 512;

/// What kind of disk it is, if its model tells.
enum class DiskKind {
    ebs,             ///< Amazon EBS
    instance_store,  ///< a disk of the host, on AWS, GCE or Azure: never lazy
    gce,             ///< a persistent disk of Google
    azure,           ///< a managed disk of Azure
    other
};

/// "ebs", "instance_store", ..., as documents have it.
std::string_view to_string(DiskKind kind);

/// By what the disk says of itself. Pure.
DiskKind disk_kind(std::string_view vendor, std::string_view model);

/// What the kernel knows of the disk below a block device.
struct Disk {
    std::string name;         ///< "nvme0n1", "dm-0"
    std::string model = {};   ///< of the first one, if there are several
    std::string serial = {};  ///< the ID of an EBS volume, for example; empty: it has none
    DiskKind kind = DiskKind::other;
    bool is_rotational = false;
    /// Where the device begins on the disk, in bytes. Nothing for what device mapper or md put
    /// together.
    std::optional<std::uint64_t> start = {};
    dev_t number = 0;  ///< of the whole disk
};

/// What device mapper or md have put together from `parts` is of their kind if all are of one.
/// Pure.
Disk composed_disk(const Disk& whole, const std::vector<Disk>& parts);

/// "8:1", as sysfs names a device.
std::string device_text(dev_t device);

/// Reads that form; 0, which is no device, if it is another one.
dev_t device_number(std::string_view text);

/// The size of an open block device; nothing if it is none, or gone.
std::optional<std::uint64_t> bytes_of_open_device(int device);

/// The size of a block device, by sysfs; 0 if that does not say.
std::uint64_t bytes_of_device(dev_t device, const std::filesystem::path& sys = "/sys");

/// The whole disk of a block device, through sysfs, which is mounted at `sys`. What sysfs does not
/// say stays empty.
Disk find_disk(dev_t device, const std::filesystem::path& sys = "/sys");

}  // namespace prebake::hydrate
