#include "agent/machine/root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <system_error>
#include <utility>

#include "agent/base/file_trust.h"
#include "agent/machine/file_calls.h"
#include "agent/machine/random.h"
#include "agent/machine/tree_removal.h"

namespace prebake::machine {
namespace {

/// Limit of names in one directory. No directory of a machine image should have more.
constexpr std::size_t kMaxNames = 1'000'000;
/// The kernel follows as many links, path_resolution(7).
constexpr int kMaxLinks = 40;

/// `path` without "//", "/./" and a slash at the end; "/" for the root.
std::string plain(std::string_view path) {
    if (path.empty() || path.front() != '/' || path.find('\0') != std::string_view::npos) {
        throw Error(Errc::usage, "\"" + std::string(path) + "\" is not an absolute path",
                    "start it with a slash");
    }
    std::string result;
    while (!path.empty()) {
        path.remove_prefix(1);
        const std::string_view component = path.substr(0, path.find('/'));
        path.remove_prefix(component.size());
        if (component.empty() || component == ".") continue;
        result += '/';
        result += component;
    }
    return result.empty() ? "/" : result;
}

struct ParentAndName {
    std::string parent;
    std::string name;
};

ParentAndName split(const std::string& plain_path) {
    if (plain_path == "/") return {"/", "."};
    const std::size_t slash = plain_path.rfind('/');
    std::string name = plain_path.substr(slash + 1);
    if (name == "..")
        throw Error(Errc::usage, plain_path + " does not name a file", "name the file itself");
    return {slash == 0 ? "/" : plain_path.substr(0, slash), std::move(name)};
}

void write_all(int fd, std::string_view contents, const std::string& path) {
    while (!contents.empty()) {
        const ssize_t written = ::write(fd, contents.data(), contents.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) throw file_error("cannot write", path);
        contents.remove_prefix(static_cast<std::size_t>(written));
    }
}

void sync(int fd, const std::string& path) {
    if (::fsync(fd) != 0) throw file_error("cannot sync", path);
}

/// Copies the SELinux label of the replaced file. A new file has the label of its directory, which
/// is wrong for machine-id and many others. It is no error if there is no label or no SELinux.
void copy_label(int directory, const std::string& from, int to) {
    constexpr const char* kLabel = "security.selinux";
    const FileDescriptor old(::openat(directory, from.c_str(),
                                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!old) return;
    std::array<char, 4096> label;
    const ssize_t size = ::fgetxattr(old.get(), kLabel, label.data(), label.size());
    if (size > 0) (void)::fsetxattr(to, kLabel, label.data(), static_cast<std::size_t>(size), 0);
}

struct OwnerAndMode {
    mode_t mode = 0644;
    uid_t uid = ::geteuid();
    gid_t gid = ::getegid();
};

OwnerAndMode owner_and_mode_of(const FileAttributes& attributes,
                               const std::optional<FileStatus>& replaced) {
    OwnerAndMode result;
    if (replaced && replaced->info.type == FileType::regular)
        result = {replaced->info.mode, replaced->info.uid, replaced->info.gid};
    return {attributes.mode.value_or(result.mode), attributes.uid.value_or(result.uid),
            attributes.gid.value_or(result.gid)};
}

void set_owner_and_mode(int fd, const OwnerAndMode& wanted, const std::string& path) {
    struct stat now {};
    if (::fstat(fd, &now) != 0) throw file_error("cannot read the status of", path);
    const bool is_owned = now.st_uid == wanted.uid && now.st_gid == wanted.gid;
    if (!is_owned && ::fchown(fd, wanted.uid, wanted.gid) != 0)
        throw file_error("cannot set the owner of", path);
    // After the owner, because changing the owner clears the set-ID bits.
    if (::fchmod(fd, wanted.mode) != 0) throw file_error("cannot set the mode of", path);
}

std::string temporary_name_for(const std::string& name) {
    const std::string suffix = ".prebake-" + random_hex(8);
    return "." + name.substr(0, NAME_MAX - 1 - suffix.size()) + suffix;
}

/// A new file with a temporary name; removed unless it is renamed into place.
class NewFile {
  public:
    NewFile(int directory, const std::string& name, const std::string& path)
        : directory_(directory),
          name_(temporary_name_for(name)),
          fd_(::openat(directory, name_.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) {
        if (!fd_) throw file_error("cannot create a temporary file beside", path);
    }
    ~NewFile() {
        if (!name_.empty()) ::unlinkat(directory_, name_.c_str(), 0);
    }
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;

    int fd() const { return fd_.get(); }
    void rename_to(const std::string& name, const std::string& path) {
        if (::renameat(directory_, name_.c_str(), directory_, name.c_str()) != 0)
            throw file_error("cannot replace", path);
        name_.clear();
    }

  private:
    int directory_;
    std::string name_;
    FileDescriptor fd_;
};

}  // namespace

struct Root::Place {
    FileDescriptor directory;  ///< O_PATH; without mounts if a file is mounted at `name`
    std::string name;
    std::optional<FileStatus> status;
    std::string path;  ///< outside, for errors

    bool is_mounted_file() const {
        return status && status->info.is_mount && status->info.type != FileType::directory;
    }
    /// A regular file only: opening a device has side effects, and opening a pipe wakes its other
    /// end.
    FileDescriptor open(int flags) const {
        if (status && status->info.type != FileType::regular) refuse();
        FileDescriptor fd(::openat(directory.get(), name.c_str(),
                                   flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600));
        if (!fd) throw file_error("cannot open", path);
        // It may have been replaced since it was looked at.
        const std::optional<FileStatus> opened = status_at(fd.get(), "", path);
        if (!opened || opened->info.type != FileType::regular) refuse();
        return fd;
    }
    [[noreturn]] void refuse() const {
        throw Error(Errc::io, "cannot open " + path + ": it is not a regular file",
                    "remove it if it is not needed");
    }
};

Root::Root(const std::filesystem::path& directory) {
    std::error_code error;
    directory_ = std::filesystem::canonical(directory, error);
    if (error) {
        errno = error.value();
        throw file_error("cannot open the root", directory);
    }
    fd_ = FileDescriptor(::open(directory_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd_ && errno == ENOTDIR)
        throw Error(Errc::usage, directory.string() + " is not a directory",
                    "name the directory where the image is mounted");
    if (!fd_) throw file_error("cannot open the root", directory);
    is_running_machine_ = directory_ == "/";
}

Root::Root(std::filesystem::path directory, FileDescriptor fd)
    : directory_(std::move(directory)),
      fd_(std::move(fd)),
      is_running_machine_(directory_ == "/") {}

Root Root::trusting_all_links() const {
    FileDescriptor same(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
    if (!same) throw file_error("cannot open the root", directory_);
    Root root(directory_, std::move(same));
    root.trusts_all_links_ = true;
    return root;
}

std::filesystem::path Root::outside(std::string_view path) const {
    return directory_ / std::filesystem::path(path).relative_path();
}

std::optional<FileDescriptor> Root::open_below(std::string_view path, int flags,
                                               LinksOnTheWay links) const {
    FileDescriptor fd(open_in_root(fd_.get(), std::string(path), flags, links));
    if (fd) return fd;
    if (is_absent()) return std::nullopt;
    throw file_error("cannot open", outside(path));
}

std::optional<Root::Place> Root::find(std::string_view path, LinksOnTheWay links) const {
    auto [parent, name] = split(plain(path));
    std::optional<FileDescriptor> directory = open_below(parent, O_PATH | O_DIRECTORY, links);
    if (!directory) return std::nullopt;
    Place place{std::move(*directory), std::move(name), std::nullopt, outside(path)};
    place.status = status_at(place.directory.get(), place.name, place.path);
    if (place.name == "." && place.status) place.status->info.is_mount = false;
    if (place.is_mounted_file()) {
        place.directory = without_mounts(place.directory.get(), outside(parent));
        place.status = status_at(place.directory.get(), place.name, place.path);
        if (place.status) place.status->info.is_mount = true;
    }
    return place;
}

std::optional<FileInfo> Root::info(std::string_view path) const {
    const std::optional<Place> place = find(path);
    if (!place || !place->status) return std::nullopt;
    return place->status->info;
}

std::vector<std::string> Root::names_at(std::string_view directory, LastLink last) const {
    const int no_follow = last == LastLink::keep ? O_NOFOLLOW : 0;
    const std::optional<FileDescriptor> fd =
        open_below(plain(directory), O_RDONLY | O_DIRECTORY | no_follow);
    std::vector<std::string> names;
    if (!fd) return names;
    for_each_name(fd->get(), outside(directory), [&](const std::string& name) {
        if (names.size() == kMaxNames) {
            throw Error(Errc::too_large,
                        outside(directory).string() + " holds more than " +
                            std::to_string(kMaxNames) + " files",
                        "remove them manually");
        }
        names.push_back(name);
    });
    std::sort(names.begin(), names.end());
    return names;
}

std::vector<std::string> Root::names_in(std::string_view directory) const {
    return names_at(directory, LastLink::keep);
}

std::string Root::resolved(std::string_view path, LastLink last) const {
    return walk(path, last, [](const std::string&, const FileDescriptor&) {});
}

std::string Root::resolved_for_change(std::string_view path, LastLink last) const {
    if (trusts_all_links_) return resolved(path, last);
    const uid_t owner = status_at(fd_.get(), "", directory_).value_or(FileStatus{}).info.uid;
    return walk(path, last, [&](const std::string& link, const FileDescriptor& fd) {
        require_trusted(link, fd, owner);
    });
}

void Root::require_trusted(const std::string& link, const FileDescriptor& fd, uid_t owner) const {
    const std::string name = outside(link).string();
    const std::optional<FileStatus> status = status_at(fd.get(), "", name);
    if (!status || (status->info.uid != 0 && status->info.uid != owner)) {
        throw Error(Errc::untrusted,
                    "will not follow the link " + name + ": it does not belong to root",
                    "remove the link, or change its owner to root (chown -h) if it is right");
    }
    // A user who can write to a directory above can put another link of root there.
    for (std::string above = link; above != "/";) {
        above = split(above).parent;
        const Ownership directory = ownership_of(info(above).value_or(FileInfo{}));
        if (is_changed_only_by({owner}, directory)) continue;
        throw Error(Errc::untrusted,
                    "will not follow the link " + name + ": " + outside(above).string() +
                        " can be changed by users other than root (" + to_string(directory) + ")",
                    "remove the link, or name its target instead");
    }
}

std::string Root::walk(
    std::string_view path, LastLink last,
    const std::function<void(const std::string&, const FileDescriptor&)>& on_link) const {
    std::vector<std::string> ahead;  // remaining components, the next one at the back
    const auto push = [&](std::string_view text) {
        std::vector<std::string> components;
        while (!text.empty()) {
            const std::string_view component = text.substr(0, text.find('/'));
            if (!component.empty() && component != ".") components.emplace_back(component);
            text.remove_prefix(std::min(text.size(), component.size() + 1));
        }
        ahead.insert(ahead.end(), components.rbegin(), components.rend());
    };
    push(plain(path));
    std::string result;
    int links = 0;
    while (!ahead.empty()) {
        const std::string component = std::move(ahead.back());
        ahead.pop_back();
        if (component == "..") {
            result.resize(result.empty() ? 0 : result.rfind('/'));
            continue;
        }
        const bool is_last = ahead.empty();
        const std::string here = result + "/" + component;
        std::array<char, PATH_MAX> target;
        ssize_t size = -1;
        std::optional<FileDescriptor> link;
        if (!is_last || last == LastLink::follow) {
            link = open_below(here, O_PATH | O_NOFOLLOW);
            if (link) size = ::readlinkat(link->get(), "", target.data(), target.size());
        }
        if (size < 0) {
            result = here;
            continue;
        }
        if (++links > kMaxLinks) {
            errno = ELOOP;
            throw file_error("cannot resolve", outside(path));
        }
        on_link(here, *link);
        const std::string_view meant(target.data(), static_cast<std::size_t>(size));
        if (meant.starts_with('/')) result.clear();
        push(meant);
    }
    return result.empty() ? "/" : result;
}

std::optional<std::string> Root::read(std::string_view path, std::size_t limit) const {
    if (!open_below(plain(path), O_PATH)) return std::nullopt;  // also a loop of links
    const std::optional<Place> place =
        find(resolved_for_change(path, LastLink::follow), LinksOnTheWay::refuse);
    if (!place || !place->status) return std::nullopt;
    return read_descriptor(place->open(O_RDONLY).get(), outside(path), limit);
}

std::optional<std::string> Root::read_as_mounted(std::string_view path, std::size_t limit) const {
    const auto [parent, name] = split(resolved(path, LastLink::follow));
    std::optional<FileDescriptor> directory = open_below(parent, O_PATH | O_DIRECTORY);
    if (!directory) return std::nullopt;
    Place place{std::move(*directory), name, std::nullopt, outside(path)};
    place.status = status_at(place.directory.get(), place.name, place.path);
    if (!place.status) return std::nullopt;
    return read_descriptor(place.open(O_RDONLY).get(), place.path, limit);
}

FileDescriptor Root::open(std::string_view path) const {
    const std::optional<Place> place = find(path);
    if (!place) {
        errno = ENOENT;
        throw file_error("cannot open", outside(path));
    }
    return place->open(O_RDONLY);
}

FileDescriptor Root::open_directory(std::string_view path) const {
    std::optional<FileDescriptor> fd = open_below(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (!fd) throw file_error("cannot open the directory", outside(path));
    return std::move(*fd);
}

FileDescriptor Root::open_lock(std::string_view path) const {
    const std::string real = resolved_for_change(path);
    make_directory(split(plain(path)).parent);
    const std::optional<Place> place = find(real, LinksOnTheWay::refuse);
    if (!place) throw Error(Errc::io, "cannot open " + outside(path).string() + ": it was moved");
    return place->open(O_RDWR | O_CREAT);
}

void Root::make_private_directory(std::string_view path) const {
    const std::string real = resolved_for_change(path);
    const FileDescriptor above = make_directory(split(plain(path)).parent);
    if (::mkdirat(above.get(), split(real).name.c_str(), 0700) != 0)
        throw file_error("cannot create the directory", outside(path));
}

void Root::rename(std::string_view path, const std::string& name) const {
    const auto [parent, old_name] = split(resolved_for_change(path));
    const std::optional<FileDescriptor> directory =
        open_below(parent, O_PATH | O_DIRECTORY, LinksOnTheWay::refuse);
    if (!directory ||
        ::renameat(directory->get(), old_name.c_str(), directory->get(), name.c_str()) != 0)
        throw file_error("cannot rename", outside(path));
}

void Root::remove(std::string_view path) const {
    const ParentAndName asked = split(plain(path));
    if (asked.name == ".")
        throw Error(Errc::usage, "the root itself cannot be removed", "name a file in it");
    if (!open_below(asked.parent, O_PATH | O_DIRECTORY)) return;
    // A component that became a link after it was checked is not followed.
    const auto [parent, name] = split(resolved_for_change(path));
    const std::optional<FileDescriptor> directory =
        open_below(parent, O_PATH | O_DIRECTORY, LinksOnTheWay::refuse);
    if (directory) remove_tree(directory->get(), name, outside(path));
}

void Root::truncate(std::string_view path) const {
    const std::optional<Place> place = find(resolved_for_change(path), LinksOnTheWay::refuse);
    if (!place || !place->status) {
        errno = ENOENT;
        throw file_error("cannot empty", outside(path));
    }
    if (place->status->info.type != FileType::regular) {
        throw Error(Errc::unsupported, "cannot empty " + place->path + ": it is not a regular file",
                    "remove it if it is not needed");
    }
    const FileDescriptor fd = place->open(O_WRONLY);
    if (::ftruncate(fd.get(), 0) != 0) throw file_error("cannot empty", place->path);
}

FileDescriptor Root::make_directory(const std::string& path) const {
    if (std::optional<FileDescriptor> fd = open_below(path, O_RDONLY | O_DIRECTORY))
        return std::move(*fd);
    const auto [parent, name] = split(path);
    if (name == ".") throw file_error("cannot open the directory", outside(path));
    const FileDescriptor above = make_directory(parent);
    if (::mkdirat(above.get(), name.c_str(), 0755) == 0) {
        // The caller's umask must not affect the image.
        if (::fchmodat(above.get(), name.c_str(), 0755, 0) != 0)
            throw file_error("cannot set the mode of", outside(path));
        sync(above.get(), outside(parent));
    } else if (errno != EEXIST) {
        throw file_error("cannot create the directory", outside(path));
    }
    std::optional<FileDescriptor> made = open_below(path, O_RDONLY | O_DIRECTORY);
    if (!made) throw file_error("cannot open the directory", outside(path));
    return std::move(*made);
}

void Root::write(std::string_view path, std::string_view contents,
                 const FileAttributes& attributes) const {
    const std::string real = resolved_for_change(path);
    make_directory(split(plain(path)).parent);
    const std::string directory = split(real).parent;
    const std::optional<FileDescriptor> parent =
        open_below(directory, O_RDONLY | O_DIRECTORY, LinksOnTheWay::refuse);
    const std::optional<Place> place = find(real, LinksOnTheWay::refuse);
    if (!parent || !place)
        throw Error(Errc::io, "cannot write " + outside(path).string() + ": it was moved");
    const OwnerAndMode appearance = owner_and_mode_of(attributes, place->status);
    if (place->is_mounted_file()) {
        // rename(2) over a mount point fails, and a file on the mount would be lost at the next
        // boot.
        const FileDescriptor fd = place->open(O_WRONLY);
        set_owner_and_mode(fd.get(), appearance, place->path);
        write_all(fd.get(), contents, place->path);
        if (::ftruncate(fd.get(), static_cast<off_t>(contents.size())) != 0)
            throw file_error("cannot write", place->path);
        return sync(fd.get(), place->path);
    }
    NewFile file(parent->get(), place->name, place->path);
    set_owner_and_mode(file.fd(), appearance, place->path);
    if (place->status && place->status->info.type == FileType::regular)
        copy_label(parent->get(), place->name, file.fd());
    write_all(file.fd(), contents, place->path);
    sync(file.fd(), place->path);
    file.rename_to(place->name, place->path);
    sync(parent->get(), outside(directory));
}

}  // namespace prebake::machine
