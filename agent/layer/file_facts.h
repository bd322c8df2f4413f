#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <string>

#include "agent/base/sha256.h"
#include "agent/layer/tar_entry.h"

namespace prebake::layer {

/// What a file is from the moment when it is made.
struct FileEssence {
    mode_t kind = 0;        ///< of S_IFMT
    std::int64_t size = 0;  ///< of a regular file, in bytes
    /// Of a regular file, if the file on the disk has another one.
    std::optional<Sha256Hash> content = {};
    std::string link = {};  ///< target of a symbolic link
    dev_t device = 0;
};

/// What can be changed of a file.
struct FileAttributes {
    mode_t permissions = 0;  ///< not of symbolic links
    uid_t uid = 0;
    gid_t gid = 0;
    std::optional<std::int64_t> modified_at = {};    ///< nanoseconds since 1970; nothing: any
    std::map<std::string, std::string> xattrs = {};  ///< those with is_compared_xattr()
    bool is_opaque = false;                          ///< a directory that hides lower layers
};

/// True for attributes that an unpacked file has from its layer. Not for those that the kernel or
/// the machine's policy writes: labels of SELinux, measurements, access ACLs, and what overlayfs
/// keeps in "trusted.".
bool is_compared_xattr(const std::string& name);

/// What TreeWriter makes of the entry; `size` and `link` are complete, `content` is not known.
FileEssence essence_of(const TarEntry& entry);

/// Changes what TreeWriter changes when the entry is made, or made again, of a file of that kind.
void apply_attributes(const TarEntry& entry, mode_t kind, FileAttributes& attributes);

/// True if a file system that has set the first time may report the second one: some keep whole
/// seconds, or times up to 2038.
bool is_same_time(std::int64_t nanoseconds, const timespec& found);

/// "a regular file of 12 bytes", "a link to ../lib", "a whiteout"
std::string text_of(const FileEssence& essence);
/// "2026-11-30T12:00:00.5Z", in UTC
std::string time_text(std::int64_t nanoseconds);

}  // namespace prebake::layer
