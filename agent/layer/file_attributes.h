#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <string>

#include "agent/layer/tar_entry.h"
#include "agent/layer/tar_reader.h"

namespace prebake::layer {

// System calls that give a new file what its entry says, in containerd's order: owner, xattrs, mode
// (chown(2) clears setuid and capabilities), times. Errors name the file `path`.

/// Of a directory in the upper one of an overlay mount, with the value "y": lower layers have
/// nothing in it.
inline constexpr const char* kOpaqueXattr = "trusted.overlay.opaque";

/// Access and modification time, as containerd bounds them.
std::array<timespec, 2> times_of(const TarEntry& entry);
timespec timespec_of(std::int64_t nanoseconds);
std::int64_t nanoseconds_of(const timespec& time);

/// The twelve bits that chmod(2) sets.
mode_t permissions_of(const TarEntry& entry);

/// Type and permissions of a device or fifo, and a device's number as mknod(2) takes it. (Numbers
/// that do not fit are cut off, as by containerd up to 2.3.)
mode_t node_mode(const TarEntry& entry);
dev_t device_number(const TarEntry& entry);

/// Of an open file or directory, which was created with permissions_of() and maybe a umask.
void set_owner_xattrs_mode(int file, const TarEntry& entry, const std::string& path);
/// Of anything; no link is followed. A link's own mode cannot be set.
void set_xattrs_and_mode_by_name(int directory, const std::string& name, const TarEntry& entry,
                                 const std::string& path);

/// @throws Error no_space if the file system has less free space than the contents of the entry
/// take. containerd would fill it first.
void require_space(int file, const TarEntry& entry, const std::string& path);
void write_at(int file, const Extent& extent, const std::string& path);

/// A path to what a descriptor refers to, for calls that take no descriptor of O_PATH.
std::string path_of_descriptor(int fd);

}  // namespace prebake::layer
