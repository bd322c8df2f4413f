#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/machine/file_info.h"

namespace prebake::machine {

/// How a written file is to look. Nothing: as the file that is replaced, or 0644 root.
struct FileAttributes {
    std::optional<mode_t> mode;
    std::optional<uid_t> uid;
    std::optional<gid_t> gid;
};

/// How the last component of a path is handled if it is a symbolic link.
enum class LastLink { follow, keep };

/// Patterns as Root::match() takes them.
using Patterns = std::vector<std::string>;

/// The tree of a machine: the running one ("/") or an image mounted somewhere. Paths given and
/// returned are absolute *inside* the tree. Symbolic links on the way are followed as that machine
/// would follow them, never out of the tree (openat2(2) with RESOLVE_IN_ROOT); the last component
/// is never followed, unless the function says so.
class Root {
  public:
    /// @throws Error not_found, permission_denied, usage (not a directory).
    explicit Root(const std::filesystem::path& directory);

    /// True for "/": the machine that we run on.
    bool is_running_machine() const { return is_running_machine_; }
    /// Where `path` is for a program outside of the tree, and in messages.
    std::filesystem::path outside(std::string_view path) const;

    /// Nothing if there is no such file. A file below a mount point of its own is described as it
    /// is in the tree, beneath the mount, with is_mount set.
    /// @throws Error permission_denied, io.
    std::optional<FileInfo> info(std::string_view path) const;

    /// Names in a directory, sorted, without "." and ".."; none if there is no such directory.
    /// @throws Error permission_denied, io.
    std::vector<std::string> names_in(std::string_view directory) const;

    /// The files that a pattern names, sorted. A component may hold `*`, `?` and `[...]` as in
    /// glob(7) (a leading dot is matched by a dot only); a leading `~` is every home directory.
    /// @throws Error permission_denied, io for a directory that could not be read.
    std::vector<std::string> match(std::string_view pattern) const;
    /// The same, but what cannot be read goes to `problems`.
    std::vector<std::string> match(std::string_view pattern, std::vector<Error>& problems) const;

    /// `path` with every link on the way replaced by what it means in the tree, so that two names
    /// of one file can be compared. Components that do not exist are kept as they are.
    /// @throws Error permission_denied, io (links that go in circles).
    std::string resolved(std::string_view path, LastLink last) const;

    /// resolved() without the last component's link, for what is to be changed: a user who can put
    /// a link into a directory must not decide which files of others are removed.
    /// @throws Error permission_denied if a link on the way belongs neither to root nor to the
    /// owner of the tree, and as resolved().
    std::string resolved_for_change(std::string_view path) const;

    /// Those that etc/passwd names, /root and what is in /home: existing directories, each once,
    /// without "/" and those of the system's own programs (/bin, /usr/..., /dev, /proc).
    std::vector<std::string> home_directories() const;

    /// The contents of a regular file; a link is followed, inside the tree. Nothing if it is not
    /// there. A mounted file is read beneath its mount.
    /// @throws Error too_large, permission_denied, io.
    std::optional<std::string> read(std::string_view path, std::size_t limit) const;

    /// A descriptor for reading (O_NOFOLLOW, O_NONBLOCK: a pipe does not block us); beneath the
    /// mount if a file is mounted there.
    /// @throws Error not_found, permission_denied, io.
    FileDescriptor open(std::string_view path) const;

    // The three that follow go only through links that resolved_for_change() accepts.

    /// Removes a file, a link or a whole directory. What is mounted below is not entered: that is
    /// an error, after all else is removed. No such file: nothing to do.
    /// @throws Error failed_precondition (something is mounted there), permission_denied, io.
    void remove(std::string_view path) const;

    /// Makes a regular file empty and keeps the inode, its owner and its mode; beneath a mount if
    /// one is there. Follows no link.
    /// @throws Error not_found, permission_denied, io, unsupported if it is not a regular file.
    void truncate(std::string_view path) const;

    /// Replaces a file whole, as write_file_durably() does, with mode and owner right from the
    /// first byte; a mounted file is rewritten beneath its mount instead. A link is replaced, not
    /// followed. Missing directories are made (0755).
    /// @throws Error no_space, permission_denied, io.
    void write(std::string_view path, std::string_view contents, const FileAttributes& form) const;

  private:
    struct Place;  // a file's directory, opened, and its name there

    std::optional<FileDescriptor> open_below(std::string_view path, int flags,
                                             LinksOnTheWay links = LinksOnTheWay::follow) const;
    std::optional<Place> find(std::string_view path,
                              LinksOnTheWay links = LinksOnTheWay::follow) const;
    std::string walk(std::string_view path, LastLink last,
                     const std::function<void(const std::string&, int)>& on_link) const;
    FileDescriptor make_directory(const std::string& path) const;
    std::vector<std::string> names_at(std::string_view directory, LastLink last) const;

    std::filesystem::path directory_;
    FileDescriptor fd_;
    bool is_running_machine_ = false;
};

}  // namespace prebake::machine
