#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "agent/base/file.h"

namespace prebake::daemon {

/// Notices that files of one directory were replaced, created or removed (inotify(7)), or the
/// directory itself.
class FileWatch {
  public:
    /// The directory is made if it is missing; it has an absolute path.
    /// @throws Error permission_denied, io.
    FileWatch(const std::filesystem::path& directory, std::set<std::string> names);

    /// Readable when there may be something to take.
    int fd() const { return fd_.get(); }
    /// True if one of the files changed since the last call. Does not wait.
    bool take_changed();

  private:
    void watch_directory();

    const std::filesystem::path directory_;
    const std::set<std::string> names_;
    FileDescriptor fd_;
    int parent_watch_ = -1;
    int watch_ = -1;
};

}  // namespace prebake::daemon
