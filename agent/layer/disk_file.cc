#include "agent/layer/disk_file.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/layer/file_attributes.h"

namespace prebake::layer {
namespace {

constexpr mode_t kPermissionBits = 07777;
constexpr const char* kDefaultAclXattr = "system.posix_acl_default";

std::string mode_text(mode_t permissions) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "mode %04o", permissions);
    return text.data();
}

std::string owner_text(uid_t uid, gid_t gid) {
    return "owner " + std::to_string(uid) + ":" + std::to_string(gid);
}

/// All names, each ended by a NUL.
std::string list_xattrs(const std::string& place) {
    std::string names;
    for (;;) {
        const ssize_t size = ::llistxattr(place.c_str(), nullptr, 0);
        if (size <= 0) return {};  // also where there are none at all
        names.resize(static_cast<std::size_t>(size));
        const ssize_t got = ::llistxattr(place.c_str(), names.data(), names.size());
        if (got < 0 && errno == ERANGE) continue;
        if (got < 0) return {};
        names.resize(static_cast<std::size_t>(got));
        return names;
    }
}

std::optional<std::string> read_xattr(const std::string& place, const std::string& name) {
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t size = ::lgetxattr(place.c_str(), name.c_str(), value.data(), value.size());
    if (size < 0) return std::nullopt;
    value.resize(static_cast<std::size_t>(size));
    return value;
}

void compare_xattrs(const FileAttributes& expected, const FileAttributes& actual,
                    const DiskFile& found, Differing& result) {
    for (const auto& [name, value] : expected.xattrs) {
        const auto other = actual.xattrs.find(name);
        const std::string shown = "xattr " + printable(name);
        if (other != actual.xattrs.end()) {
            if (other->second != value) result.add(shown, shown + " with another value");
            continue;
        }
        // The file system may not have such attributes.
        if (found.xattr(name) || errno == ENOTSUP) continue;
        result.add(shown, "no " + shown);
    }
    for (const auto& [name, value] : actual.xattrs) {
        if (expected.xattrs.contains(name)) continue;
        if (name == kDefaultAclXattr && found.may_inherit_acl()) continue;
        const std::string shown = "xattr " + printable(name);
        result.add("no " + shown, shown);
    }
}

}  // namespace

void Differing::add(const std::string& expected_too, const std::string& found_too) {
    if (!found.empty()) {
        expected += ", ";
        found += ", ";
    }
    expected += expected_too;
    found += found_too;
}

void Differing::add(const Differing& other) {
    if (!other.is_empty()) add(other.expected, other.found);
}

DiskFile::DiskFile(int directory, std::string name)
    : directory_(directory), name_(std::move(name)) {
    if (directory < 0) return;
    if (::fstatat(directory, name_.c_str(), &status_, AT_SYMLINK_NOFOLLOW) == 0) return;
    status_ = {};
    // A name that is too long is the same as one that is not there.
    if (errno != ENOENT && errno != ENAMETOOLONG) throw errno_error("cannot look at", name_);
}

std::string DiskFile::place() const {
    // The last component is a name in our directory: nothing else can be meant by it.
    return path_of_descriptor(directory_) + "/" + name_;
}

FileEssence DiskFile::essence() const {
    FileEssence essence{.kind = kind()};
    if (essence.kind == S_IFREG) essence.size = status_.st_size;
    if (essence.kind == S_IFCHR || essence.kind == S_IFBLK) essence.device = status_.st_rdev;
    if (essence.kind == S_IFLNK) {
        std::array<char, PATH_MAX> target{};
        const ssize_t size = ::readlinkat(directory_, name_.c_str(), target.data(), target.size());
        if (size < 0) throw errno_error("cannot read the link", name_);
        essence.link.assign(target.data(), static_cast<std::size_t>(size));
    }
    return essence;
}

FileAttributes DiskFile::attributes() const {
    FileAttributes attributes{.permissions = status_.st_mode & kPermissionBits,
                              .uid = status_.st_uid,
                              .gid = status_.st_gid,
                              .modified_at = nanoseconds_of(status_.st_mtim)};
    const std::string names = list_xattrs(place());
    for (std::size_t begin = 0; begin < names.size();) {
        const std::string name = names.c_str() + begin;
        begin += name.size() + 1;
        if (name == kOpaqueXattr) {
            attributes.is_opaque = read_xattr(place(), name) == "y";
        } else if (is_compared_xattr(name)) {
            if (auto value = read_xattr(place(), name)) attributes.xattrs[name] = *value;
        }
    }
    return attributes;
}

FileDescriptor DiskFile::open() const {
    // O_NONBLOCK: it may be a fifo by now.
    constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    return open_without_access_time(directory_, name_.c_str(), kFlags);
}

std::optional<std::string> DiskFile::xattr(const std::string& name) const {
    return read_xattr(place(), name);
}

bool DiskFile::may_inherit_acl() const {
    const std::string directory = path_of_descriptor(directory_) + "/.";
    return read_xattr(directory, kDefaultAclXattr).has_value();
}

Differing difference(const FileEssence& expected, const DiskFile& found) {
    const FileEssence actual = found.essence();
    Differing result;
    if (actual.kind != expected.kind || actual.link != expected.link ||
        actual.device != expected.device) {
        result.add(text_of(expected), text_of(actual));
    } else if (actual.size != expected.size) {
        result.add(counted(static_cast<std::uint64_t>(expected.size), "byte"),
                   counted(static_cast<std::uint64_t>(actual.size), "byte"));
    }
    return result;
}

Differing difference(const FileAttributes& expected, const DiskFile& found) {
    const FileAttributes actual = found.attributes();
    Differing result;
    if (found.kind() != S_IFLNK && actual.permissions != expected.permissions) {
        result.add(mode_text(expected.permissions), mode_text(actual.permissions));
    }
    if (actual.uid != expected.uid || actual.gid != expected.gid) {
        result.add(owner_text(expected.uid, expected.gid), owner_text(actual.uid, actual.gid));
    }
    if (expected.modified_at && !is_same_time(*expected.modified_at, found.status().st_mtim)) {
        result.add("modified at " + time_text(*expected.modified_at),
                   "modified at " + time_text(*actual.modified_at));
    }
    if (expected.is_opaque != actual.is_opaque) {
        result.add(expected.is_opaque ? "an opaque directory" : "a directory that is not opaque",
                   actual.is_opaque ? "an opaque one" : "one that is not");
    }
    compare_xattrs(expected, actual, found, result);
    return result;
}

}  // namespace prebake::layer
