#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace prebake {

/// Who owns a file or directory, and what its mode allows, as in stat(2).
struct Ownership {
    uid_t uid = 0;
    gid_t gid = 0;
    mode_t mode = 0;  ///< permission bits
    bool is_directory = false;
};

/// True if root and `trusted` alone can change the file; of a directory, if they alone can replace
/// what is theirs in it. So it must be theirs, and neither its group nor others may write to it.
/// That the group has one member does not count: with an ACL, the bit of the group stands for
/// everybody in the ACL (acl(5)). Others may write to a directory with the sticky bit: there they
/// can only replace files of their own. Pure.
bool is_changed_only_by(const std::vector<uid_t>& trusted, const Ownership& file);

/// "owner 1000, group 1000, mode 0664", for messages.
std::string to_string(const Ownership& file);

/// Whose files we act on besides root's.
enum class WhoseFile {
    ours,      ///< our own: what is found in a configured place
    invokers,  ///< those of the user who ran sudo, too: what that user named
};

/// The contents of a file that we act on: a configuration file, an image list, credentials. It is
/// refused if other users can change it, or put another file in its place: then they would decide
/// what root does. Each directory and link on the way counts. The group of a user's own file may
/// write to it if that user is the only member (user private groups, with the umask 002 of some
/// distributions). Pipes, devices and deleted files have no place that counts.
/// @throws Error untrusted, with owner and mode; otherwise as read_file().
std::string read_trusted_file(const std::filesystem::path& path, std::size_t limit,
                              WhoseFile whose);

}  // namespace prebake
