#include "agent/layer/file_attributes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/layer/contained.h"
#include "agent/layer/tar_numbers.h"

namespace prebake::layer {
namespace {

constexpr mode_t kPermissions = 07777;
constexpr std::int64_t kNanosecondsInSecond = 1'000'000'000;

/// Calls `set` for each xattr of the entry. `takes_user_xattrs`: the file is a regular one or a
/// directory; the kernel refuses names in "user." for all others, and the layer is still good.
template <typename Set>
void set_xattrs(const TarEntry& entry, const std::string& path, bool takes_user_xattrs, Set set) {
    for (const auto& [name, value] : entry.xattrs) {
        // Overlayfs keeps its own state there.
        if (name.starts_with("trusted.")) continue;
        if (set(name.c_str(), value) == 0) continue;
        if (errno == ENOTSUP) continue;
        if (errno == EPERM && name.starts_with("user.") && !takes_user_xattrs) continue;
        throw entry_error("cannot set the xattr " + name + " of", path);
    }
}

}  // namespace

mode_t permissions_of(const TarEntry& entry) {
    return static_cast<mode_t>(entry.mode) & kPermissions;
}

timespec timespec_of(std::int64_t nanoseconds) {
    return {nanoseconds / kNanosecondsInSecond, nanoseconds % kNanosecondsInSecond};
}

std::int64_t nanoseconds_of(const timespec& time) {
    return time.tv_sec * kNanosecondsInSecond + time.tv_nsec;
}

std::array<timespec, 2> times_of(const TarEntry& entry) {
    const TarTime accessed_at = std::max(entry.accessed_at, entry.modified_at);
    return {timespec_of(bounded_nanoseconds(accessed_at)),
            timespec_of(bounded_nanoseconds(entry.modified_at))};
}

mode_t node_mode(const TarEntry& entry) {
    const mode_t permissions = permissions_of(entry);
    if (entry.type == tar_type::kCharacterDevice) return S_IFCHR | permissions;
    if (entry.type == tar_type::kBlockDevice) return S_IFBLK | permissions;
    return S_IFIFO | permissions;
}

dev_t device_number(const TarEntry& entry) {
    const auto major = static_cast<std::uint32_t>(entry.device_major);
    const auto minor = static_cast<std::uint32_t>(entry.device_minor);
    // The kernel's 32 bits: 12 of the major number, 20 of the minor one.
    return (major & 0xfff) << 8 | (minor & 0xff) | (minor & 0xfff00) << 12;
}

void set_owner_xattrs_mode(int file, const TarEntry& entry, const std::string& path) {
    struct stat status = {};
    if (::fstat(file, &status) != 0) throw entry_error("cannot look at", path);
    const auto uid = static_cast<uid_t>(entry.uid);
    const auto gid = static_cast<gid_t>(entry.gid);
    // Most files are root's and have the mode that they were created with. Each call that is saved
    // is a tenth of what a small file costs.
    const bool has_owner = status.st_uid == uid && status.st_gid == gid;
    if (!has_owner && ::fchown(file, uid, gid) != 0) {
        throw entry_error("cannot set the owner of", path);
    }
    set_xattrs(entry, path, true, [file](const char* name, const std::string& value) {
        return ::fsetxattr(file, name, value.data(), value.size(), 0);
    });
    const bool has_mode = (status.st_mode & kPermissions) == permissions_of(entry) && has_owner &&
                          entry.xattrs.empty();
    if (!has_mode && ::fchmod(file, permissions_of(entry)) != 0) {
        throw entry_error("cannot set the mode of", path);
    }
}

void set_xattrs_and_mode_by_name(int directory, const std::string& name, const TarEntry& entry,
                                 const std::string& path) {
    const bool is_link = entry.type == tar_type::kSymlink;
    if (is_link && entry.xattrs.empty()) return;
    // There is no fchmodat() that follows no link and works everywhere.
    const FileDescriptor file(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status = {};
    if (!file || ::fstat(file.get(), &status) != 0) throw entry_error("cannot look at", path);
    const bool takes_user_xattrs = S_ISREG(status.st_mode) || S_ISDIR(status.st_mode);
    // The last component is a name in our directory: nothing else can be meant by it.
    const std::string place = path_of_descriptor(directory) + "/" + name;
    set_xattrs(entry, path, takes_user_xattrs, [&](const char* key, const std::string& value) {
        return ::lsetxattr(place.c_str(), key, value.data(), value.size(), 0);
    });
    if (S_ISLNK(status.st_mode)) return;
    if (::chmod(path_of_descriptor(file.get()).c_str(), permissions_of(entry)) != 0) {
        throw entry_error("cannot set the mode of", path);
    }
}

void require_space(int file, const TarEntry& entry, const std::string& path) {
    struct statvfs status = {};
    if (::fstatvfs(file, &status) != 0) throw entry_error("cannot look at", path);
    // With what is reserved for root, which writes the tree.
    if (static_cast<std::uint64_t>(entry.size) / status.f_frsize <= status.f_bfree) return;
    throw Error(Errc::no_space,
                "cannot write " + path + ": its " + std::to_string(entry.size) + " bytes" +
                    (entry.is_sparse ? ", with its holes," : "") +
                    " are more than the file system has free",
                "free some space");
}

void write_at(int file, const Extent& extent, const std::string& path) {
    auto bytes = extent.bytes;
    off_t offset = extent.offset;
    while (!bytes.empty()) {
        const ssize_t written = ::pwrite(file, bytes.data(), bytes.size(), offset);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) throw entry_error("cannot write", path);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
        offset += written;
    }
}

std::string path_of_descriptor(int fd) {
    return "/proc/self/fd/" + std::to_string(fd);
}

}  // namespace prebake::layer
