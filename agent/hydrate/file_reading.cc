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
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "agent/base/file.h"
#include "agent/hydrate/file_places.h"
#include "agent/hydrate/shared_buffer.h"
#include "agent/hydrate/traced_file.h"

namespace prebake::hydrate {
namespace {

constexpr std::chrono::milliseconds kFileTick{100};

/// A range of a file, or all of it; a directory with all that is in it.
struct FileTask {
    std::filesystem::path path;
    std::filesystem::path layer = {};  ///< without links below it `path` leads to a file; or empty
    bool is_named = false;             ///< by the plan: it has to be there
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
        if (!task.layer.empty()) return read_in_layer(task);
        struct stat status {};
        if (::lstat(task.path.c_str(), &status) != 0) return is_gone(task);
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
        if (!file) return is_gone(task);
        const bool is_read = read_range(file.get(), task);
        if (!keeps_pages && !is_direct) {
            static_cast<void>(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED));
        }
        const std::scoped_lock lock(shared_->mutex);
        ++shared_->progress.files;
        return is_read;
    }

    /// A trace may know files that this layer does not have.
    bool read_in_layer(const FileTask& task) {
        errno = 0;
        const FileDescriptor file = open_in(task.layer, task.path);
        struct stat status {};
        if (!file || ::fstat(file.get(), &status) != 0) return errno != EIO;
        if (std::ranges::find(shared_->file_systems, status.st_dev) ==
            shared_->file_systems.end()) {
            return true;
        }
        const bool is_read = read_range(file.get(), task);
        const std::scoped_lock lock(shared_->mutex);
        ++shared_->progress.files;
        return is_read;
    }

    /// What is found in a directory may go away meanwhile, what the plan names may not. True if it
    /// is no failure of a read.
    bool is_gone(const FileTask& task) {
        if (errno != ENOENT && errno != ENOTDIR) return false;
        if (!task.is_named) return true;
        const std::scoped_lock lock(shared_->mutex);
        FileProgress& progress = shared_->progress;
        if (progress.missing++ == 0) progress.first_missing = task.path;
        return true;
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

void add_traced(const v1::HydrationPlan& plan, const v1::ReadTrace& trace,
                std::deque<FileTask>& tasks) {
    std::map<std::string, const v1::TracedLayer*, std::less<>> traced;
    for (const v1::TracedLayer& layer : trace.layers()) traced[layer.diff_id()] = &layer;
    for (const v1::PlannedLayer& layer : plan.layers()) {
        const auto found = traced.find(layer.diff_id());
        if (found == traced.end()) continue;
        for (const v1::TracedFile& file : found->second->files()) {
            const FileRanges ranges = ranges_of(file);
            for (const ChunkRun& range : ranges.runs()) {
                tasks.push_back({.path = file.path(),
                                 .layer = layer.directory(),
                                 .offset = range.first,
                                 .length = range.count});
            }
        }
    }
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

ReadingEnd read_planned_files(const v1::HydrationPlan& plan, const v1::ReadTrace& trace,
                              const std::vector<dev_t>& file_systems, const FileLimits& limits,
                              const std::stop_token& stop,
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
            if (files.rank() != rank) continue;
            for (const std::string& path : files.paths()) {
                tasks.push_back({.path = path, .is_named = true});
            }
        }
        if (rank == v1::TRACED) add_traced(plan, trace, tasks);
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
