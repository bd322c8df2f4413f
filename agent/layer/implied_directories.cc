#include "agent/layer/implied_directories.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::layer {
namespace {

/// The mtime of a new directory. The kernel changes it when something is put into it or removed, so
/// it says later whether that happened: containerd's copied times survive only if it did not. Whole
/// seconds, which every file system keeps.
constexpr timespec kUntouched{1, 0};

constexpr mode_t kCopiedBits = 07777;
constexpr std::string_view kDefaultAcl = "system.posix_acl_default";
constexpr std::string_view kAnyAcl = "system.posix_acl_";

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

bool is_untouched(const struct stat& status) {
    return status.st_mtim.tv_sec == kUntouched.tv_sec &&
           status.st_mtim.tv_nsec == kUntouched.tv_nsec;
}

Error inherits(const std::string& path) {
    return Error(Errc::unsupported,
                 "the directory " + path +
                     " gets its attributes from a lower layer, and what is in it inherits them",
                 "let containerd unpack this layer");
}

std::vector<std::string> xattr_names(int fd, const std::string& path) {
    std::string names;
    for (;;) {
        const ssize_t size = ::flistxattr(fd, nullptr, 0);
        if (size < 0 && errno == ENOTSUP) return {};
        if (size < 0) throw errno_error("cannot list the xattrs of", path);
        names.resize(static_cast<std::size_t>(size));
        const ssize_t got = ::flistxattr(fd, names.data(), names.size());
        if (got < 0 && errno == ERANGE) continue;  // one was added meanwhile
        if (got < 0) throw errno_error("cannot list the xattrs of", path);
        names.resize(static_cast<std::size_t>(got));
        break;
    }
    std::vector<std::string> result;
    for (std::size_t begin = 0; begin < names.size(); begin += result.back().size() + 1) {
        result.emplace_back(names.c_str() + begin);
    }
    return result;
}

/// Nothing if the attribute is gone, or cannot be read on this file system.
std::optional<std::string> xattr(int fd, const std::string& name, const std::string& path) {
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t size = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (size < 0 && (errno == ENOTSUP || errno == ENODATA)) return std::nullopt;
    if (size < 0) throw errno_error("cannot read the xattr " + name + " of", path);
    value.resize(static_cast<std::size_t>(size));
    return value;
}

void copy_xattr(int from, int to, const std::string& name, const std::string& path) {
    const auto value = xattr(from, name, path);
    if (!value) return;
    if (::fsetxattr(to, name.c_str(), value->data(), value->size(), XATTR_CREATE) == 0) return;
    if (errno == ENOTSUP || errno == ENODATA || errno == EEXIST) return;
    throw errno_error("cannot set the xattr " + name + " of", path);
}

}  // namespace

void ImpliedDirectories::add(const std::string& path, int fd) {
    const timespec times[2] = {{0, UTIME_OMIT}, kUntouched};
    if (::futimens(fd, times) != 0) throw errno_error("cannot set the times of", path);
    const auto parent = implied_.find(parent_of(path));
    const bool is_in_implied = parent != implied_.end() && !parent->second.is_described;
    implied_.insert_or_assign(path, Implied{.is_in_implied = is_in_implied});
}

void ImpliedDirectories::is_described(const std::string& path, const TarEntry& entry) {
    const auto found = implied_.find(path);
    if (found == implied_.end()) return;
    Implied& implied = found->second;
    const auto is_kept = [](std::int64_t id) {
        return static_cast<std::uint32_t>(id) == UINT32_MAX;
    };
    implied.keeps_owner = (implied.keeps_owner || !implied.is_described) && is_kept(entry.uid);
    implied.keeps_group = (implied.keeps_group || !implied.is_described) && is_kept(entry.gid);
    implied.is_described = true;
}

void ImpliedDirectories::has_inheriting_entry(const std::string& directory) {
    const auto found = implied_.find(directory);
    if (found != implied_.end() && !found->second.is_described) {
        found->second.has_inheriting_entry = true;
    }
}

void ImpliedDirectories::forget_tree(const std::string& path) {
    // '0' follows '/'.
    const auto below = implied_.lower_bound(path + "/");
    const auto end = implied_.lower_bound(path + "0");
    for (auto gone = below; gone != end; ++gone) gone_.push_back(gone->first);
    implied_.erase(below, end);
    if (implied_.erase(path) > 0) gone_.push_back(path);
}

void ImpliedDirectories::copy(const std::string& path, const Implied& implied,
                              const LowerDirectory& source, int directory) {
    struct stat status = {};
    if (::fstat(directory, &status) != 0) throw errno_error("cannot look at", path);
    const bool is_untouched_yet = is_untouched(status);
    const bool is_described = implied.is_described;
    if (source.fd) {
        if (implied.has_inheriting_entry && (source.status.st_mode & S_ISGID) != 0) {
            throw inherits(path);
        }
        const uid_t uid = is_described && !implied.keeps_owner ? -1U : source.status.st_uid;
        const gid_t gid = is_described && !implied.keeps_group ? -1U : source.status.st_gid;
        if (::fchown(directory, uid, gid) != 0) throw errno_error("cannot set the owner of", path);
        if (!is_described && ::fchmod(directory, source.status.st_mode & kCopiedBits) != 0) {
            throw errno_error("cannot set the mode of", path);
        }
    }
    if (!is_described) {
        timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
        if (is_untouched_yet) times[1].tv_nsec = UTIME_NOW;
        if (source.fd) times[0] = source.status.st_atim;
        if (source.fd && is_untouched_yet) times[1] = source.status.st_mtim;
        if (::futimens(directory, times) != 0) throw errno_error("cannot set the times of", path);
    }
    if (!source.fd) return;
    for (const std::string& name : xattr_names(source.fd.get(), path)) {
        if (name.starts_with("trusted.")) continue;
        const bool is_late = name == kDefaultAcl ? !is_untouched_yet || is_described
                                                 : is_described && name.starts_with(kAnyAcl);
        if (is_late) throw inherits(path);
        copy_xattr(source.fd.get(), directory, name, path);
    }
}

void ImpliedDirectories::copy_attributes(const Contained& tree, std::span<const int> lowers) const {
    for (const std::string& path : gone_) find_lower_directory(path, lowers);
    /// Directories whose group is inherited by directories in them, with that group.
    std::map<std::string, gid_t> passing_on;
    for (const auto& [path, implied] : implied_) {
        const LowerDirectory source = find_lower_directory(path, lowers);
        const FileDescriptor directory =
            tree.open(path, O_RDONLY | O_DIRECTORY, LinksAmongDirectories::refuse);
        if (!directory) throw errno_error("cannot open", path);
        const auto group =
            implied.is_in_implied ? passing_on.find(parent_of(path)) : passing_on.end();
        if (group != passing_on.end() && (!implied.is_described || implied.keeps_group) &&
            ::fchown(directory.get(), -1U, group->second) != 0) {
            throw errno_error("cannot set the group of", path);
        }
        copy(path, implied, source, directory.get());
        if (source.fd && (source.status.st_mode & S_ISGID) != 0) {
            passing_on.emplace(path, source.status.st_gid);
        }
    }
}

}  // namespace prebake::layer
