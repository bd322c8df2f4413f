#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "agent/base/file.h"

namespace prebake::daemon {

/// Notices when files of one directory, or the directory itself, are replaced, created or removed
/// (inotify(7)). Other programs may have taken all that the kernel has for this; then it looks at
/// the files every few seconds, and does not notice that one was removed.
class FileWatch {
  public:
    enum class Method { events, looking };

    /// `directory` is an absolute path. It is created if it is missing.
    /// @throws Error permission_denied, io.
    FileWatch(const std::filesystem::path& directory, std::set<std::string> names,
              Method method = Method::events, std::chrono::milliseconds interval = kInterval);

    /// Readable when take_changed() may return true.
    int fd() const { return fd_.get(); }
    /// True if one of the files changed since the last call. Does not wait.
    bool take_changed();
    /// Why it looks at the files instead of getting events; empty: it gets them.
    const std::string& obstacle() const { return obstacle_; }

  private:
    static constexpr std::chrono::milliseconds kInterval{5000};
    /// Differs between any two versions of a file.
    using Stamp = std::array<std::int64_t, 6>;

    bool try_to_watch();
    void watch_directory();
    bool look();
    bool take_events();

    const std::filesystem::path directory_;
    const std::set<std::string> names_;
    std::string obstacle_;
    bool has_events_ = false;
    std::map<std::string, Stamp> seen_;
    FileDescriptor fd_;
    int parent_watch_ = -1;
    int watch_ = -1;
};

}  // namespace prebake::daemon
