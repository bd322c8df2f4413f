#include "agent/machine/file_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace prebake::machine {
namespace {

/// A concurrent rename makes openat2(2) fail with EAGAIN. This many in a row are no coincidence.
constexpr int kOpenAttempts = 128;

FileType type_of(mode_t mode) {
    if (S_ISREG(mode)) return FileType::regular;
    if (S_ISDIR(mode)) return FileType::directory;
    if (S_ISLNK(mode)) return FileType::symlink;
    return FileType::other;
}

const char* next_step_for(int number) {
    switch (number) {
        case EPERM:
            return "run it as root, and see with lsattr(1) whether the file may be changed at all";
        case EACCES:
            return "run it as root";
        case EROFS:
            return "remount the file system for writing (mount -o remount,rw)";
        case ENOSYS:
            return "use Linux 5.8 or later, and allow openat2 and open_tree where system calls are "
                   "filtered";
        case EBUSY:
            return "unmount what is mounted there";
        case ENOSPC:
        case EDQUOT:
            return "free some space";
        default:
            return "";
    }
}

}  // namespace

Error file_error(std::string_view what, const std::string& path) {
    const int number = errno;
    const Error error = errno_error(what, path);
    return Error(error.code(), error.message(), next_step_for(number));
}

bool is_absent() {
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
}

std::optional<FileStatus> status_at(int directory, const std::string& name,
                                    const std::string& path) {
    struct statx raw {};
    // An automount point must not be mounted by looking at it.
    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;
    if (::statx(directory, name.c_str(), flags, STATX_BASIC_STATS, &raw) != 0) {
        if (is_absent()) return std::nullopt;
        throw file_error("cannot read the status of", path);
    }
    FileStatus status;
    status.info.type = type_of(raw.stx_mode);
    status.info.size = raw.stx_size;
    status.info.mode = raw.stx_mode & 07777;
    status.info.uid = raw.stx_uid;
    status.info.gid = raw.stx_gid;
    status.info.modified_at = raw.stx_mtime.tv_sec;
    status.info.is_mount = (raw.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    status.id = {(static_cast<std::uint64_t>(raw.stx_dev_major) << 32) | raw.stx_dev_minor,
                 raw.stx_ino};
    status.changed_at = raw.stx_ctime.tv_sec * 1'000'000'000 + raw.stx_ctime.tv_nsec;
    return status;
}

int open_in_root(int root, const std::string& path, int flags, LinksOnTheWay links) {
    struct open_how how {};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    if (links == LinksOnTheWay::refuse) how.resolve |= RESOLVE_NO_SYMLINKS;
    for (int attempt = 0;; ++attempt) {
        const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
        if (fd >= 0) return static_cast<int>(fd);
        if (errno != EINTR && (errno != EAGAIN || attempt == kOpenAttempts)) return -1;
    }
}

FileDescriptor without_mounts(int directory, const std::string& path) {
    const long fd = ::syscall(SYS_open_tree, directory, "",
                              static_cast<unsigned>(AT_EMPTY_PATH | OPEN_TREE_CLONE | O_CLOEXEC));
    if (fd >= 0) return FileDescriptor(static_cast<int>(fd));
    const Error error = file_error("cannot look beneath what is mounted in", path);
    if (error.code() != Errc::permission_denied) throw Error(error);
    throw Error(error.code(), error.message(),
                "run it as root with CAP_SYS_ADMIN, or unmount what is mounted in that directory");
}

void for_each_name(int directory, const std::string& path,
                   const std::function<void(const std::string& name)>& entry) {
    // A new descriptor: closedir() closes it, and it has its own position.
    const int own = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0) throw file_error("cannot read the directory", path);
    const std::unique_ptr<DIR, int (*)(DIR*)> names(::fdopendir(own), ::closedir);
    if (!names) {
        const Error error = file_error("cannot read the directory", path);
        ::close(own);
        throw Error(error);
    }
    for (;;) {
        errno = 0;
        const dirent* next = ::readdir(names.get());
        if (next == nullptr) break;
        const std::string name = next->d_name;
        if (name != "." && name != "..") entry(name);
    }
    if (errno != 0) throw file_error("cannot read the directory", path);
}

}  // namespace prebake::machine
