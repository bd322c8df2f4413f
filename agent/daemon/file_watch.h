#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "agent/base/file.h"

namespace prebake::daemon {

/// Notices when files of one directory, or the directory itself, are replaced, created or removed
/// (inotify(7)).
class FileWatch {
  public:
    /// `directory` is an absolute path. It is created if it is missing.
    /// @throws Error permission_denied, io.
    FileWatch(const std::filesystem::path& directory, std::set<std::string> names);

    /// Readable when take_changed() may return true.
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
