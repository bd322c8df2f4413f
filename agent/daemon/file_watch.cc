#include "agent/daemon/file_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/base/error.h"

namespace prebake::daemon {

FileWatch::FileWatch(const std::filesystem::path& directory, std::set<std::string> names)
    // "state/" has no name in its parent.
    : directory_(directory.has_filename() ? directory : directory.parent_path()),
      names_(std::move(names)),
      fd_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (!fd_) throw errno_error("cannot watch", directory_);
    std::error_code failure;
    std::filesystem::create_directories(directory_, failure);
    if (failure) {
        errno = failure.value();
        throw errno_error("cannot create directory", directory_);
    }
    // A watch follows the directory, not its path. This one notices when the directory is replaced.
    parent_watch_ = inotify_add_watch(fd_.get(), directory_.parent_path().c_str(),
                                      IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    watch_directory();
    if (watch_ < 0) throw errno_error("cannot watch", directory_);
}

void FileWatch::watch_directory() {
    // We rename files into place; an editor may write in place. Not IN_MOVED_FROM: an unreadable
    // file is renamed, and its problem must not disappear from the status at once.
    constexpr std::uint32_t kChanges = IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_ONLYDIR;
    const int before =
        std::exchange(watch_, inotify_add_watch(fd_.get(), directory_.c_str(), kChanges));
    if (before >= 0 && before != watch_) inotify_rm_watch(fd_.get(), before);
}

bool FileWatch::take_changed() {
    alignas(inotify_event) std::array<char, 8192> buffer{};
    bool is_changed = false;
    for (;;) {
        const ssize_t got = read(fd_.get(), buffer.data(), buffer.size());
        if (got <= 0) return is_changed;
        for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof(event));
            const char* name = buffer.data() + at + sizeof(event);
            // The kernel's queue overflowed: any file may have changed.
            const bool is_overflow = (event.mask & IN_Q_OVERFLOW) != 0;
            const bool is_named = event.len > 0;
            const bool is_directory =
                is_named && event.wd == parent_watch_ && directory_.filename() == name;
            if (is_overflow || is_directory) watch_directory();
            is_changed |= is_overflow || is_directory ||
                          (is_named && event.wd == watch_ && names_.contains(name));
            at += sizeof(event) + event.len;
        }
    }
}

}  // namespace prebake::daemon
