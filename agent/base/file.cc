#include "agent/base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "agent/base/error.h"

namespace prebake {
namespace {

Errc code_of_errno(int number) {
    switch (number) {
        case ENOSPC:
        case EDQUOT:
            return Errc::no_space;
        case ENOENT:
            return Errc::not_found;
        case EACCES:
        case EPERM:
        case EROFS:
            return Errc::permission_denied;
        default:
            return Errc::io;
    }
}

void write_all(int fd, std::string_view contents, const std::filesystem::path& path) {
    while (!contents.empty()) {
        const ssize_t written = ::write(fd, contents.data(), contents.size());
        if (written < 0) {
            if (errno == EINTR) continue;
            throw errno_error("cannot write", path);
        }
        contents.remove_prefix(static_cast<std::size_t>(written));
    }
}

void make_directories(const std::filesystem::path& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) {
        errno = error.value();
        throw errno_error("cannot create directory", path);
    }
}

/// Removes a temporary file unless it was renamed into place.
class TemporaryFile {
  public:
    explicit TemporaryFile(const std::filesystem::path& target)
        : name_(target.string() + ".XXXXXX"), fd_(::mkostemp(name_.data(), O_CLOEXEC)) {
        if (!fd_) throw errno_error("cannot create a temporary file beside", target);
    }
    ~TemporaryFile() {
        if (!kept_) ::unlink(name_.c_str());
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    int fd() const { return fd_.get(); }
    void rename_to(const std::filesystem::path& target) {
        if (::rename(name_.c_str(), target.c_str()) != 0)
            throw errno_error("cannot replace", target);
        kept_ = true;
    }

  private:
    std::string name_;
    FileDescriptor fd_;
    bool kept_ = false;
};

}  // namespace

FileDescriptor::~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
}

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

Error errno_error(std::string_view what, const std::filesystem::path& path) {
    const int number = errno;
    return Error(code_of_errno(number), std::string(what) + " " + path.string() + ": " +
                                            std::system_category().message(number));
}

std::string read_descriptor(int fd, const std::filesystem::path& name, std::size_t limit) {
    std::string contents;
    std::array<char, 65536> buffer;
    for (;;) {
        const ssize_t got = ::read(fd, buffer.data(), buffer.size());
        if (got < 0) {
            if (errno == EINTR) continue;
            throw errno_error("cannot read", name);
        }
        if (got == 0) return contents;
        contents.append(buffer.data(), static_cast<std::size_t>(got));
        if (contents.size() > limit) {
            throw Error(Errc::too_large, "cannot read " + name.string() + ": it is larger than " +
                                             std::to_string(limit) + " bytes");
        }
    }
}

std::string read_file(const std::filesystem::path& path, std::size_t limit) {
    const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) throw errno_error("cannot open", path);
    return read_descriptor(fd.get(), path, limit);
}

FileDescriptor open_directory(const std::filesystem::path& path) {
    FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory) throw errno_error("cannot open", path);
    return directory;
}

FileDescriptor open_without_access_time(int directory, const char* path, int flags) {
    FileDescriptor file(::openat(directory, path, flags | O_NOATIME));
    // Only the owner may ask for that.
    if (!file && errno == EPERM) file = FileDescriptor(::openat(directory, path, flags));
    return file;
}

void write_setting(const std::filesystem::path& path, std::string_view text) {
    const FileDescriptor out(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    if (!out || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        throw errno_error("cannot write", path);
    }
}

void write_file_durably(const std::filesystem::path& path, std::string_view contents, mode_t mode) {
    const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
    make_directories(parent);
    TemporaryFile temporary(path);
    // mkostemp creates 0600 whatever the umask. The wider mode is set when the contents are
    // complete.
    write_all(temporary.fd(), contents, path);
    if (::fchmod(temporary.fd(), mode) != 0) throw errno_error("cannot set the mode of", path);
    if (::fsync(temporary.fd()) != 0) throw errno_error("cannot sync", path);
    temporary.rename_to(path);
    const FileDescriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.get()) != 0) throw errno_error("cannot sync", parent);
}

OpenedFileSystem::OpenedFileSystem(std::filesystem::path path)
    : path_(std::move(path)), opened_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (!opened_ && errno != ENOENT) throw errno_error("cannot open", path_);
}

void OpenedFileSystem::sync() const {
    if (!opened_ || ::syncfs(opened_.get()) == 0) return;
    const Error error = errno_error("cannot sync the file system of", path_);
    if (error.code() != Errc::io) throw Error(error);
    throw Error(error.code(), error.message(), "look for errors of the disk in the kernel's log");
}

bool sync_file_system(const std::filesystem::path& path) {
    const OpenedFileSystem opened(path);
    opened.sync();
    return opened.is_visible();
}

DiskSpace disk_space(const std::filesystem::path& path) {
    struct statvfs space {};
    struct stat status {};
    if (::statvfs(path.c_str(), &space) != 0 || ::stat(path.c_str(), &status) != 0) {
        throw errno_error("cannot read the free space of", path);
    }
    return DiskSpace{.available_bytes = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize,
                     .device = status.st_dev};
}

FileLock::FileLock(const std::filesystem::path& path) {
    make_directories(path.has_parent_path() ? path.parent_path() : ".");
    fd_ = FileDescriptor(::open(
        path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600));
    if (!fd_) throw errno_error("cannot open", path);
    lock(path);
}

FileLock::FileLock(FileDescriptor file, const std::filesystem::path& name) : fd_(std::move(file)) {
    lock(name);
}

void FileLock::lock(const std::filesystem::path& name) const {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) throw errno_error("cannot read the status of", name);
    if (!S_ISREG(status.st_mode))
        throw Error(Errc::io, "cannot lock " + name.string() + ": it is not a regular file",
                    "remove it");
    if (::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0) return;
    if (errno != EWOULDBLOCK) throw errno_error("cannot lock", name);
    throw Error(Errc::conflict, "another prebake holds the lock " + name.string(),
                "wait for it to end, or use another --state-dir");
}

}  // namespace prebake
