#include "agent/containerd/ingest_directory.h"

#include <fcntl.h>
#include <google/protobuf/util/time_util.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "agent/base/error.h"
#include "agent/oci/digest.h"

namespace prebake::containerd {
namespace {

/// Of the small files in an ingest's directory; a reference is far shorter.
constexpr std::size_t kFileLimit = 64UL << 10;

struct stat status_of(int fd, const std::filesystem::path& path) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) throw errno_error("cannot read the status of", path);
    return status;
}

/// Nothing if there is no file, or one that cannot be opened whatever the permissions.
FileDescriptor open_data(int directory, const std::filesystem::path& path, int access) {
    // Without O_NONBLOCK a named pipe would block.
    FileDescriptor data(::openat(directory, "data", access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    const bool is_other_kind =
        errno == ELOOP || errno == ENOENT || errno == ENXIO || errno == EISDIR;
    if (!data && !is_other_kind) throw errno_error("cannot open", path);
    return data;
}

bool is_same_file(const struct stat& one, const struct stat& other) {
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/// A small file of the ingest. @throws Error not_found, permission_denied, io.
std::string read_part(int directory, const std::filesystem::path& path, const char* name) {
    const FileDescriptor file(
        ::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) throw errno_error("cannot open", path / name);
    return read_descriptor(file.get(), path / name, kFileLimit);
}

bool is_same_time(const std::string& text, const google::protobuf::Timestamp& time) {
    google::protobuf::Timestamp parsed;
    return google::protobuf::util::TimeUtil::FromString(text, &parsed) &&
           parsed.seconds() == time.seconds() && parsed.nanos() == time.nanos();
}

/// containerd's name for an ingest in its backend. It takes the number from a sequence that begins
/// with each ingest.
std::string backend_ref(const std::string& ns, const std::string& ref) {
    return ns + "/1/" + ref;
}

std::filesystem::path directory_of(const std::filesystem::path& ingests, const std::string& ns,
                                   const std::string& ref) {
    return ingests / oci::Digest::of(backend_ref(ns, ref)).hex();
}

/// The directory of the ingest. @throws Error not_found, conflict (of another containerd),
/// permission_denied, io.
FileDescriptor open_ingest(const std::filesystem::path& path, const IngestKey& key) {
    FileDescriptor directory = open_directory(path);
    if (read_part(directory.get(), path, "ref") != backend_ref(key.ns, key.ref) ||
        !is_same_time(read_part(directory.get(), path, "startedat"), key.started_at)) {
        throw Error(Errc::conflict, path.string() + " is not the ingest that containerd has open");
    }
    return directory;
}

}  // namespace

IngestFiles::IngestFiles(FileDescriptor directory, std::filesystem::path data_path)
    : directory_(std::move(directory)),
      data_path_(std::move(data_path)),
      data_(open_data(directory_.get(), data_path_, O_WRONLY)),
      readable_(open_data(directory_.get(), data_path_, O_RDONLY)),
      is_sound_(false) {
    if (!data_ || !readable_) return;
    const struct stat status = status_of(data_.get(), data_path_);
    is_sound_ = S_ISREG(status.st_mode) && status.st_nlink == 1 &&
                is_same_file(status, status_of(readable_.get(), data_path_)) &&
                status.st_dev == status_of(directory_.get(), data_path_.parent_path()).st_dev;
}

bool IngestFiles::try_lock() const {
    if (::flock(directory_.get(), LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    throw errno_error("cannot lock", data_path_.parent_path());
}

std::uint64_t IngestFiles::size() const {
    return static_cast<std::uint64_t>(status_of(readable_.get(), data_path_).st_size);
}

bool IngestFiles::is_in_place() const {
    struct stat named {};
    struct stat opened {};
    return ::fstatat(directory_.get(), "data", &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           ::fstat(readable_.get(), &opened) == 0 && is_same_file(named, opened);
}

IngestDirectory::IngestDirectory(const std::optional<std::filesystem::path>& content_root) {
    if (content_root) {
        root_ = *content_root / "ingest";
    } else {
        obstacle_ = "containerd does not report the directory of its content store";
    }
}

std::optional<std::string> IngestDirectory::obstacle() const {
    const std::scoped_lock lock(mutex_);
    return obstacle_;
}

std::optional<IngestFiles> IngestDirectory::open(const IngestKey& key) const {
    if (obstacle()) return std::nullopt;
    const std::filesystem::path path = directory_of(root_, key.ns, key.ref);
    try {
        IngestFiles files(open_ingest(path, key), path / "data");
        const std::scoped_lock lock(mutex_);
        if (obstacle_) return std::nullopt;
        is_visible_ = true;
        return files;
    } catch (const Error& error) {
        const std::scoped_lock lock(mutex_);
        if (!is_visible_) {
            if (!obstacle_) obstacle_ = error.message();
            return std::nullopt;
        }
        if (error.code() != Errc::not_found) throw;
        throw Error(Errc::conflict, error.message() + ": another program removed the ingest");
    }
}

std::uint64_t space_of_ingest(const std::filesystem::path& content_root, const std::string& ns,
                              const std::string& ref) {
    constexpr std::uint64_t kBlockBytes = 512;  // stat(2), whatever the file system
    const std::filesystem::path data = directory_of(content_root / "ingest", ns, ref) / "data";
    struct stat status {};
    if (::lstat(data.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return 0;
    return static_cast<std::uint64_t>(status.st_blocks) * kBlockBytes;
}

}  // namespace prebake::containerd
