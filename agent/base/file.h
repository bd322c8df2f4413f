#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace prebake {

class Error;

/// An owned file descriptor; closed at the end of its life.
class FileDescriptor {
  public:
    FileDescriptor() = default;
    explicit FileDescriptor(int fd) : fd_(fd) {}
    ~FileDescriptor();
    FileDescriptor(FileDescriptor&& other) noexcept;
    FileDescriptor& operator=(FileDescriptor&& other) noexcept;
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;

    int get() const { return fd_; }
    /// The descriptor, which the caller closes.
    int release() { return std::exchange(fd_, -1); }
    explicit operator bool() const { return fd_ >= 0; }

  private:
    int fd_ = -1;
};

/// An Error for the current `errno`: "what path: reason". Maps ENOSPC and EDQUOT to no_space,
/// ENOENT to not_found, EACCES and EPERM to permission_denied, all else to io.
Error errno_error(std::string_view what, const std::filesystem::path& path);

/// The whole of a regular file or pipe.
/// @throws Error not_found, permission_denied, io (a directory too), too_large past `limit` bytes.
std::string read_file(const std::filesystem::path& path, std::size_t limit);

/// The rest of an open descriptor; `name` stands for it in errors. Same errors as read_file().
std::string read_descriptor(int fd, const std::filesystem::path& name, std::size_t limit);

/// The directory, to read it and what is in it. A link is not followed.
/// @throws Error not_found, permission_denied, io.
FileDescriptor open_directory(const std::filesystem::path& path);

/// Opens a file or directory below `directory` without giving it a new access time, if we may
/// (open(2), O_NOATIME); `flags` say how. Empty if it cannot be opened, with `errno`.
FileDescriptor open_without_access_time(int directory, const char* path, int flags);

/// Writes a file of sysfs or tracefs: in place, and in one call. @throws Error permission_denied,
/// io.
void write_setting(const std::filesystem::path& path, std::string_view text);

/// Replaces `path` by `contents` so that a crash at any moment leaves either the old or the new
/// file, whole: temporary name in the same directory, fsync, rename, fsync of the directory.
/// Missing parent directories are created (0755).
/// @throws Error no_space, permission_denied, io; the old file is then untouched.
void write_file_durably(const std::filesystem::path& path, std::string_view contents, mode_t mode);

/// Writes back everything of the file system of `path` (syncfs(2)). Returns false if this process
/// cannot see `path`, for example because containerd runs in another mount namespace.
/// @throws Error no_space, io if the write-back failed.
bool sync_file_system(const std::filesystem::path& path);

/// A file system that is to be synced when files were written. Opened before that, it reports each
/// write-back that failed since then: the kernel reports a failure once to each descriptor that is
/// open, but to a new one only if it has reported it to nobody yet.
class OpenedFileSystem {
  public:
    /// If this process cannot see `path`, there is nothing to sync.
    /// @throws Error permission_denied, io.
    explicit OpenedFileSystem(std::filesystem::path path);
    bool is_visible() const { return static_cast<bool>(opened_); }
    /// As sync_file_system().
    void sync() const;

  private:
    std::filesystem::path path_;
    FileDescriptor opened_;
};

struct DiskSpace {
    std::uint64_t available_bytes;  ///< to a process with our privileges
    std::uint64_t device;           ///< st_dev: equal for two paths on one file system
};

/// @throws Error not_found, permission_denied, io.
DiskSpace disk_space(const std::filesystem::path& path);

/// An exclusive advisory lock (flock(2)) on a file, held for the life of the object; the kernel
/// releases it when the process ends.
class FileLock {
  public:
    /// Creates the file if it is missing (0600). A link is not followed.
    /// @throws Error conflict if another process holds it; io if it is not a regular file;
    /// otherwise as write_file_durably().
    explicit FileLock(const std::filesystem::path& path);
    /// Locks an open file; `name` stands for it in errors. @throws Error conflict, io.
    FileLock(FileDescriptor file, const std::filesystem::path& name);

  private:
    void lock(const std::filesystem::path& name) const;

    FileDescriptor fd_;
};

}  // namespace prebake
