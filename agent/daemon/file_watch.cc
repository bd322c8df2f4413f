#include "agent/daemon/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/base/error.h"

namespace prebake::daemon {

namespace {

/// The user has all inotify instances, or all watches, that the kernel allows.
bool is_exhausted(int error) {
    return error == EMFILE || error == ENOSPC;
}

/// Readable once in each interval.
FileDescriptor timer(std::chrono::milliseconds interval) {
    FileDescriptor fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(interval);
    const std::chrono::nanoseconds rest = interval - seconds;
    const timespec period{.tv_sec = seconds.count(), .tv_nsec = rest.count()};
    const itimerspec both{.it_interval = period, .it_value = period};
    if (!fd || timerfd_settime(fd.get(), 0, &both, nullptr) != 0) {
        throw errno_error("no timer to watch files:", "timerfd");
    }
    return fd;
}

}  // namespace

FileWatch::FileWatch(const std::filesystem::path& directory, std::set<std::string> names,
                     Method method, std::chrono::milliseconds interval)
    // "state/" has no name in its parent.
    : directory_(directory.has_filename() ? directory : directory.parent_path()),
      names_(std::move(names)) {
    std::error_code failure;
    std::filesystem::create_directories(directory_, failure);
    if (failure) {
        errno = failure.value();
        throw errno_error("cannot create directory", directory_);
    }
    has_events_ = method == Method::events && try_to_watch();
    if (has_events_) return;
    fd_ = timer(interval);
    look();
}

/// False if there is nothing left to watch files with.
bool FileWatch::try_to_watch() {
    fd_ = FileDescriptor(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (fd_) {
        // A watch follows the directory, not its path. This one notices when the directory is
        // replaced.
        parent_watch_ = inotify_add_watch(fd_.get(), directory_.parent_path().c_str(),
                                          IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
        watch_directory();
        if (watch_ >= 0) return true;
    }
    const int error = errno;
    if (!is_exhausted(error)) throw errno_error("cannot watch", directory_);
    obstacle_ = error == EMFILE ? "fs.inotify.max_user_instances" : "fs.inotify.max_user_watches";
    return false;
}

/// True if one of the files is another than it was. One that is not there is as it was: a file that
/// cannot be read is renamed, and its problem must not disappear from the status at once.
bool FileWatch::look() {
    bool is_changed = false;
    for (const std::string& name : names_) {
        struct stat status {};
        if (::stat((directory_ / name).c_str(), &status) != 0) continue;
        const Stamp now{static_cast<std::int64_t>(status.st_dev),
                        static_cast<std::int64_t>(status.st_ino),
                        status.st_size,
                        status.st_ctim.tv_sec,
                        status.st_ctim.tv_nsec,
                        status.st_mtim.tv_nsec};
        const auto [entry, is_new] = seen_.try_emplace(name);
        is_changed |= is_new || entry->second != now;
        entry->second = now;
    }
    return is_changed;
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
    if (has_events_) return take_events();
    std::uint64_t expirations = 0;
    const bool is_due = read(fd_.get(), &expirations, sizeof(expirations)) > 0;
    return is_due && look();
}

bool FileWatch::take_events() {
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
