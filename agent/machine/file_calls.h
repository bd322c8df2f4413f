#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/machine/file_info.h"

namespace prebake::machine {

/// errno_error() for the current `errno`, with a next step for the operator.
Error file_error(std::string_view what, const std::string& path);

/// True if `errno` means that there is no such file: it is missing, a parent is not a directory, or
/// its links form a loop.
bool is_absent();

/// Identifies a file: equal for two names of one file.
struct FileId {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool operator==(const FileId&) const = default;
};

struct FileStatus {
    FileInfo info;
    FileId id;
    std::int64_t changed_at = 0;  ///< nanoseconds since the epoch; also of a change of the mode
};

/// statx(2) of `name` in a directory, without following links; of the descriptor itself if `name`
/// is empty. Nothing if there is no such file. Errors name it `path`.
std::optional<FileStatus> status_at(int directory, const std::string& name,
                                    const std::string& path);

/// openat2(2) that cannot leave the directory `root`. Returns -1 and sets errno on failure (ELOOP
/// for a refused link).
int open_in_root(int root, const std::string& path, int flags,
                 LinksOnTheWay links = LinksOnTheWay::follow);

/// A detached copy of the mount that `directory` is on, without the mounts below it: files hidden
/// by mounts are visible in it. @throws Error permission_denied, io.
FileDescriptor without_mounts(int directory, const std::string& path);

/// Calls `entry` with each name in an open directory, except "." and "..", in no particular order.
/// `entry` may remove files.
void for_each_name(int directory, const std::string& path,
                   const std::function<void(const std::string& name)>& entry);

}  // namespace prebake::machine
