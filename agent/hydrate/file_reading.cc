#include "agent/hydrate/file_reading.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "agent/base/file.h"
#include "agent/hydrate/shared_buffer.h"

namespace prebake::hydrate {
namespace {

constexpr std::chrono::milliseconds kFileTick{100};

/// A range of a file, or all of it; a directory with all that is in it.
struct FileTask {
    std::filesystem::path path;
    std::uint64_t offset = 0;
    std::uint64_t length = std::numeric_limits<std::uint64_t>::max();
};

/// What the threads share with the caller. One whose read never ends keeps it alive.
struct SharedFiles {
    std::mutex mutex;
    std::condition_variable wanted;
    std::condition_variable idle;
    std::deque<FileTask> waiting;  ///< the last one comes first: memory for one branch of a tree
    std::size_t busy = 0;
    bool is_over = false;
    bool keeps_pages = true;
    std::vector<dev_t> file_systems;
    FileProgress progress;
    RateLimit rate{0};
    SharedBuffer buffer{kMaxReadBytes};
};

class FileReader {
  public:
    explicit FileReader(std::shared_ptr<SharedFiles> shared) : shared_(std::move(shared)) {}

    void serve() {
        std::unique_lock lock(shared_->mutex);
        for (;;) {
            shared_->wanted.wait(lock,
                                 [&] { return shared_->is_over || !shared_->waiting.empty(); });
            if (shared_->is_over) return;
            const FileTask task = std::move(shared_->waiting.back());
            shared_->waiting.pop_back();
            ++shared_->busy;
            const bool keeps_pages = shared_->keeps_pages;
            lock.unlock();
            const bool is_read = read(task, keeps_pages);
            lock.lock();
            if (!is_read) ++shared_->progress.failed;
            --shared_->busy;
            if (shared_->busy == 0 && shared_->waiting.empty()) shared_->idle.notify_all();
        }
    }

  private:
    bool read(const FileTask& task, bool keeps_pages) {
        struct stat status {};
        if (::lstat(task.path.c_str(), &status) != 0) return errno == ENOENT;
        if (std::ranges::find(shared_->file_systems, status.st_dev) ==
            shared_->file_systems.end()) {
            return true;
        }
        if (S_ISDIR(status.st_mode)) return list(task.path);
        if (!S_ISREG(status.st_mode)) return true;
        constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW;
        FileDescriptor file;
        if (!keeps_pages) file = FileDescriptor(::open(task.path.c_str(), kFlags | O_DIRECT));
        const bool is_direct = static_cast<bool>(file);
        if (!file) file = FileDescriptor(::open(task.path.c_str(), kFlags));
        if (!file) return errno == ENOENT;
        const bool is_read = read_range(file.get(), task);
        if (!keeps_pages && !is_direct) {
            static_cast<void>(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED));
        }
        const std::scoped_lock lock(shared_->mutex);
        ++shared_->progress.files;
        return is_read;
    }

    bool read_range(int file, const FileTask& task) {
        std::uint64_t offset = task.offset - task.offset % kReadAlignment;
        std::uint64_t left = task.length;
        while (left > 0 && wait_for_turn()) {
            const std::size_t part = std::min<std::uint64_t>(left, kMaxReadBytes);
            const std::size_t wanted =
                (part + kReadAlignment - 1) / kReadAlignment * kReadAlignment;
            const ssize_t bytes =
                ::pread(file, shared_->buffer.start(), wanted, static_cast<off_t>(offset));
            if (bytes < 0 && errno == EINTR) continue;
            if (bytes < 0) return false;
            if (bytes == 0) break;
            const auto count = static_cast<std::uint64_t>(bytes);
            offset += count;
            left -= std::min(left, count);
            const std::scoped_lock lock(shared_->mutex);
            shared_->progress.bytes += count;
        }
        return true;
    }

    /// Until the limit of rate allows another read. False when it is over.
    bool wait_for_turn() {
        std::unique_lock lock(shared_->mutex);
        for (;;) {
            if (shared_->is_over) return false;
            const auto delay = shared_->rate.delay(std::chrono::steady_clock::now());
            if (delay.count() == 0) break;
            shared_->wanted.wait_for(lock, std::min<std::chrono::nanoseconds>(delay, kFileTick));
        }
        shared_->rate.take(kMaxReadBytes);
        return true;
    }

    bool list(const std::filesystem::path& path) {
        std::error_code problem;
        std::filesystem::directory_iterator entries(path, problem);
        std::vector<FileTask> found;
        while (!problem && entries != std::filesystem::directory_iterator()) {
            found.push_back({.path = entries->path()});
            entries.increment(problem);
        }
        const std::scoped_lock lock(shared_->mutex);
        for (FileTask& task : found) shared_->waiting.push_back(std::move(task));
        shared_->wanted.notify_all();
        return !problem;
    }

    std::shared_ptr<SharedFiles> shared_;
};

void add_tasks(const v1::PlannedFiles& files, std::deque<FileTask>& tasks) {
    for (const v1::PlannedRange& range : files.ranges()) {
        std::uint64_t at = 0;
        for (int i = 0; i + 1 < range.ranges_size(); i += 2) {
            at += range.ranges(i);
            tasks.push_back({.path = range.path(), .offset = at, .length = range.ranges(i + 1)});
            at += range.ranges(i + 1);
        }
    }
    for (const std::string& path : files.paths()) tasks.push_back({.path = path});
}

/// Waits until all tasks are done.
ReadingEnd wait_for_files(SharedFiles& shared, const FileLimits& limits,
                          const std::stop_token& stop,
                          const std::function<void(const FileProgress&)>& on_tick) {
    for (;;) {
        FileProgress progress;
        bool is_done = false;
        {
            std::unique_lock lock(shared.mutex);
            is_done = shared.idle.wait_for(
                lock, kFileTick, [&] { return shared.busy == 0 && shared.waiting.empty(); });
            progress = shared.progress;
        }
        on_tick(progress);
        if (is_done) return ReadingEnd::all;
        if (stop.stop_requested()) return ReadingEnd::stopped;
        if (std::chrono::steady_clock::now() >= limits.deadline) return ReadingEnd::deadline;
    }
}

}  // namespace

ReadingEnd read_planned_files(const v1::HydrationPlan& plan, const std::vector<dev_t>& file_systems,
                              const FileLimits& limits, const std::stop_token& stop,
                              const std::function<void(v1::HydrationRank)>& on_rank,
                              const std::function<void(const FileProgress&)>& on_tick) {
    const auto shared = std::make_shared<SharedFiles>();
    shared->file_systems = file_systems;
    shared->rate = RateLimit(limits.rate);
    // Detached: the kernel does not let go of a thread before its read has ended.
    for (unsigned i = 0; i < limits.threads; ++i) {
        std::thread([shared] { FileReader(shared).serve(); }).detach();
    }
    ReadingEnd end = ReadingEnd::all;
    for (const auto rank : {v1::METADATA, v1::TRACED, v1::IMAGES, v1::BOOT}) {
        std::deque<FileTask> tasks;
        for (const v1::PlannedFiles& files : plan.files()) {
            if (files.rank() == rank) add_tasks(files, tasks);
        }
        if (tasks.empty()) continue;
        std::ranges::reverse(tasks);  // the last one comes first
        on_rank(rank);
        {
            const std::scoped_lock lock(shared->mutex);
            shared->waiting = std::move(tasks);
            shared->keeps_pages = rank == v1::METADATA || rank == v1::TRACED;
            shared->progress = {};
            shared->wanted.notify_all();
        }
        end = wait_for_files(*shared, limits, stop, on_tick);
        if (end != ReadingEnd::all) break;
    }
    const std::scoped_lock lock(shared->mutex);
    shared->is_over = true;
    shared->wanted.notify_all();
    return end;
}

}  // namespace prebake::hydrate
