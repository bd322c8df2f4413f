#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/machine/file_info.h"

namespace prebake::machine {

/// Mode and owner of a written file. Without a value: those of the replaced file, or 0644 and our
/// own.
struct FileAttributes {
    std::optional<mode_t> mode;
    std::optional<uid_t> uid;
    std::optional<gid_t> gid;
};

/// What happens if the last component of a path is a symbolic link.
enum class LastLink { follow, keep };

/// Patterns as Root::match() takes them.
using Patterns = std::vector<std::string>;

/// The tree of a machine: the running one ("/") or an image mounted somewhere. Paths given and
/// returned are absolute *inside* the tree. Symbolic links among the directories are followed as
/// that machine follows them, never out of the tree (openat2(2) with RESOLVE_IN_ROOT). A link in
/// the last component is not followed, unless the function says so.
class Root {
  public:
    /// @throws Error not_found, permission_denied, usage (not a directory).
    explicit Root(const std::filesystem::path& directory);

    /// True for "/": the machine that we run on.
    bool is_running_machine() const { return is_running_machine_; }
    /// The same tree with every link trusted (see resolved_for_change()): shows what is behind
    /// links of users. Only to look: nothing may be changed through it.
    Root trusting_all_links() const;
    /// The path outside the tree, for other programs and for messages.
    std::filesystem::path outside(std::string_view path) const;

    /// Nothing if there is no such file. If the file is a mount point, is_mount is set and the rest
    /// describes the file beneath the mount.
    /// @throws Error permission_denied, io.
    std::optional<FileInfo> info(std::string_view path) const;

    /// Names in a directory, sorted, without "." and ".."; none if there is no such directory.
    /// @throws Error permission_denied, io.
    std::vector<std::string> names_in(std::string_view directory) const;

    /// The files that match a pattern, sorted. A component may contain `*`, `?` and `[...]` as in
    /// glob(7) (only a dot matches a leading dot). A leading `~` means each home directory.
    /// @throws Error permission_denied, io for a directory that cannot be read.
    std::vector<std::string> match(std::string_view pattern) const;
    /// The same, but what cannot be read goes to `problems`.
    std::vector<std::string> match(std::string_view pattern, std::vector<Error>& problems) const;

    /// `path` with every link replaced by its target in the tree, so that two names of one file can
    /// be compared. Components that do not exist are kept.
    /// @throws Error permission_denied, io (a loop of links).
    std::string resolved(std::string_view path, LastLink last) const;

    /// resolved(), for a file that is read to be changed, changed or spared: a user who can create
    /// a link must not choose which files of others are meant. Only trusted links are followed:
    /// root or the owner of the tree owns the link and every directory above it, and nobody else
    /// can rename it there (is_changed_only_by() in base/file_trust.h).
    /// @throws Error untrusted for any other link; the errors of resolved().
    std::string resolved_for_change(std::string_view path, LastLink last = LastLink::keep) const;

    /// The homes in /etc/passwd, /root and the directories in /home: existing ones, each once,
    /// without "/" and the directories of system programs (/bin, /usr/..., /dev, /proc). Only
    /// trusted links lead to a home (see resolved_for_change()). They are found once, and again
    /// only after /etc/passwd or /home changed: there may be tens of thousands.
    /// @throws Error untrusted (any other link), permission_denied, io.
    std::vector<std::string> home_directories() const;
    /// The same, but a home that cannot be looked at goes to `problems`.
    std::vector<std::string> home_directories(std::vector<Error>& problems) const;

    /// The contents of a regular file; a trusted link is followed (see resolved_for_change()).
    /// Nothing if there is no such file. If the file is a mount point, the file beneath the mount
    /// is read.
    /// @throws Error too_large, untrusted (any other link), permission_denied, io.
    std::optional<std::string> read(std::string_view path, std::size_t limit) const;
    /// The same with every link followed, and with what is mounted over the file.
    std::optional<std::string> read_as_mounted(std::string_view path, std::size_t limit) const;

    /// A regular file, opened for reading; beneath the mount if the file is a mount point.
    /// @throws Error not_found, permission_denied, io.
    FileDescriptor open(std::string_view path) const;
    /// A directory, opened with O_PATH; on top of what is mounted there. A link is not followed.
    /// @throws Error not_found, permission_denied, io.
    FileDescriptor open_directory(std::string_view path) const;

    // These six follow only the links that resolved_for_change() accepts.

    /// A regular file to lock, created if it is missing (0600), in a directory that is made if it
    /// is missing (0755). The last component is not followed.
    /// @throws Error no_space, permission_denied, io.
    FileDescriptor open_lock(std::string_view path) const;

    /// An empty directory that only we can enter (0700). @throws Error permission_denied, io (it is
    /// there already).
    void make_private_directory(std::string_view path) const;

    /// Gives a file another name in its directory, and replaces what has that name.
    /// @throws Error permission_denied, io.
    void rename(std::string_view path, const std::string& name) const;

    /// Removes a file, a link or a whole directory, if it exists. Mounts below it are not entered:
    /// everything else is removed, then an error is thrown.
    /// @throws Error failed_precondition (something is mounted there), permission_denied, io.
    void remove(std::string_view path) const;

    /// Empties a regular file and keeps its inode, owner and mode; beneath the mount if the file is
    /// a mount point. Follows no link.
    /// @throws Error not_found, permission_denied, io, unsupported if it is not a regular file.
    void truncate(std::string_view path) const;

    /// Replaces a file atomically, as write_file_durably() does; mode and owner are set before the
    /// first byte is written. If the file is a mount point, the file beneath the mount is
    /// rewritten. A link is replaced, not followed. Missing directories are created (0755).
    /// @throws Error no_space, permission_denied, io.
    void write(std::string_view path, std::string_view contents,
               const FileAttributes& attributes) const;

  private:
    struct Place;  // a file's directory, opened, and its name there
    struct Homes;

    Root(std::filesystem::path directory, FileDescriptor fd);

    std::optional<FileDescriptor> open_below(std::string_view path, int flags,
                                             LinksOnTheWay links = LinksOnTheWay::follow) const;
    std::optional<Place> find(std::string_view path,
                              LinksOnTheWay links = LinksOnTheWay::follow) const;
    void require_trusted(const std::string& link, const FileDescriptor& fd, uid_t owner) const;
    std::string walk(
        std::string_view path, LastLink last,
        const std::function<void(const std::string&, const FileDescriptor&)>& on_link) const;
    FileDescriptor make_directory(const std::string& path) const;
    std::vector<std::string> names_at(std::string_view directory, LastLink last) const;
    const Homes& homes() const;
    std::string state_of(std::string_view path) const;

    std::filesystem::path directory_;
    FileDescriptor fd_;
    bool is_running_machine_ = false;
    bool trusts_all_links_ = false;
    mutable std::shared_ptr<const Homes> homes_;
};

}  // namespace prebake::machine
