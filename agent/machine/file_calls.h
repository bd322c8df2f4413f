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

/// An Error for the current `errno`, as errno_error(), with what the operator can do about it.
Error refusal(std::string_view what, const std::string& path);

/// True if `errno` says that there is no such file: missing, below something that is no directory,
/// or behind links that go in circles.
bool is_absent();

/// Which file it is: equal for two names of one.
struct FileId {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool operator==(const FileId&) const = default;
};

struct Status {
    FileInfo info;
    FileId id;
};

/// What statx(2) says of `name` in a directory, links not followed; of the descriptor itself if
/// `name` is empty. Nothing if there is no such file. `path` stands for it in errors.
std::optional<Status> status_at(int directory, const std::string& name, const std::string& path);

/// openat2(2) that cannot leave the directory `root`. -1 and errno if it fails (ELOOP for a link
/// that is refused).
int open_in_root(int root, const std::string& path, int flags,
                 LinksOnTheWay links = LinksOnTheWay::follow);

/// A detached copy of the mount that `directory` lies in, without what is mounted below: the files
/// beneath mount points are visible in it. @throws Error permission_denied, io.
FileDescriptor without_mounts(int directory, const std::string& path);

/// Calls `entry` with each name in an open directory, without "." and "..", in no order.
/// Entries may be removed meanwhile.
void for_each_name(int directory, const std::string& path,
                   const std::function<void(const std::string& name)>& entry);

}  // namespace prebake::machine
