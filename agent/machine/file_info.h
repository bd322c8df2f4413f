#pragma once

#include <sys/types.h>

#include <cstdint>

#include "agent/base/file_trust.h"

namespace prebake::machine {

enum class FileType { regular, directory, symlink, other };

struct FileInfo {
    FileType type = FileType::other;
    std::uint64_t size = 0;  ///< bytes
    mode_t mode = 0;         ///< permission bits
    uid_t uid = 0;
    gid_t gid = 0;
    std::int64_t modified_at = 0;  ///< seconds since the epoch
    bool is_mount = false;         ///< this is a mount point (also of a file)
};

inline Ownership ownership_of(const FileInfo& info) {
    return {info.uid, info.gid, info.mode, info.type == FileType::directory};
}

/// What happens at a symbolic link among the directories of a path.
enum class LinksOnTheWay { follow, refuse };

}  // namespace prebake::machine
