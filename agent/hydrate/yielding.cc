#include "agent/hydrate/yielding.h"

#include <sys/inotify.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/config_file.h"
#include "agent/hydrate/disk.h"

namespace prebake::hydrate {
namespace {

constexpr std::size_t kMaxBytes = 4096;
constexpr std::chrono::seconds kStarting{2};
// Less than that is what every machine does all the time.
constexpr double kReadsMuch = 4.0 * 1024 * 1024;
constexpr double kStalledSome = 0.1;
constexpr double kStalledMuch = 0.4;
constexpr const char* kTasks = "io.containerd.runtime.v2.task";
// Times of files are those of the kernel's last tick.
constexpr std::chrono::milliseconds kCoarse{100};

std::string text_of(const std::filesystem::path& path) {
    try {
        return read_file(path, kMaxBytes);
    } catch (const Error&) {
        return {};
    }
}

unsigned share_of(unsigned depth, double share) {
    return std::max(1U, static_cast<unsigned>(depth * share));
}

int add_watch(int events, const std::filesystem::path& directory) {
    return ::inotify_add_watch(events, directory.c_str(), IN_CREATE | IN_ONLYDIR);
}

}  // namespace

std::vector<std::filesystem::path> usual_containerd_states() {
    return {"/run/containerd", "/run/docker/containerd/daemon"};
}

std::future<std::filesystem::path> configured_containerd_state(const std::filesystem::path& file) {
    std::promise<std::filesystem::path> promise;
    std::future<std::filesystem::path> state = promise.get_future();
    std::thread([file, promise = std::move(promise)]() mutable {
        promise.set_value(containerd::read_config_file(file).state);
    }).detach();
    return state;
}

unsigned yielded_depth(unsigned depth, v1::HydrationRank rank, const Foreground& foreground) {
    const bool reads = foreground.bytes_per_second >= kReadsMuch;
    if (rank == v1::METADATA || rank == v1::TRACED) {
        // The disk serves us both in turn: what it waits for comes sooner by reading it.
        return reads && !foreground.is_starting ? share_of(depth, 0.75) : depth;
    }
    if (foreground.stalled >= kStalledMuch) return share_of(depth, 0.125);
    if (foreground.is_starting || foreground.stalled >= kStalledSome) return share_of(depth, 0.25);
    return reads ? share_of(depth, 0.5) : depth;
}

std::optional<std::uint64_t> read_bytes_in(const std::string& stat) {
    unsigned long long reads = 0;
    unsigned long long merged = 0;
    unsigned long long sectors = 0;
    if (std::sscanf(stat.c_str(), "%llu %llu %llu", &reads, &merged, &sectors) != 3) {
        return std::nullopt;
    }
    return sectors * kSectorBytes;
}

std::optional<std::uint64_t> stalled_in(const std::string& pressure) {
    unsigned long long total = 0;
    if (std::sscanf(pressure.c_str(), "some avg10=%*f avg60=%*f avg300=%*f total=%llu", &total) !=
        1) {
        return std::nullopt;
    }
    return total;
}

ForegroundWatch::ForegroundWatch(const std::vector<dev_t>& disks, Places places)
    : places_(std::move(places)),
      events_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      begun_(std::filesystem::file_time_type::clock::now() - kCoarse) {
    for (const dev_t disk : disks) {
        const std::string number = std::to_string(major(disk)) + ":" + std::to_string(minor(disk));
        stats_.push_back(places_.sys / "dev" / "block" / number / "stat");
    }
    for (const std::filesystem::path& state : places_.states) {
        tasks_.push_back({.directory = state / kTasks});
    }
    watch_tasks(Found::old);
}

void ForegroundWatch::add_state(const std::filesystem::path& state) {
    const std::filesystem::path directory = state / kTasks;
    if (std::ranges::find(tasks_, directory, &Tasks::directory) != tasks_.end()) return;
    tasks_.push_back({.directory = directory});
    watch_tasks(Found::perhaps_new);
}

void ForegroundWatch::watch_tasks(Found found) {
    for (Tasks& tasks : tasks_) {
        if (tasks.watch >= 0) continue;
        // The namespaces come and go, so the directory above is watched as well.
        tasks.watch = add_watch(events_.get(), tasks.directory);
        if (tasks.watch < 0) continue;
        std::error_code ignored;
        for (const auto& entry : std::filesystem::directory_iterator(tasks.directory, ignored)) {
            watch_namespace(entry.path(), found);
        }
    }
}

void ForegroundWatch::watch_namespace(const std::filesystem::path& directory, Found found) {
    const int watch = add_watch(events_.get(), directory);
    if (watch < 0 || !namespaces_.emplace(watch, directory).second || found == Found::old) return;
    // What was created before it was watched.
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        const auto written = entry.last_write_time(ignored);
        if (ignored || written < begun_) continue;
        created_.push_back(entry.path());
        has_found_ = true;
    }
}

/// Whether it means that something is new.
bool ForegroundWatch::take(const inotify_event& event, const std::string& name) {
    const auto tasks = std::ranges::find(tasks_, event.wd, &Tasks::watch);
    if ((event.mask & IN_IGNORED) != 0) {  // the directory was removed
        namespaces_.erase(event.wd);
        if (tasks != tasks_.end()) tasks->watch = -1;
        return false;
    }
    if (tasks != tasks_.end()) {
        watch_namespace(tasks->directory / name, Found::perhaps_new);
    } else if (const auto found = namespaces_.find(event.wd); found != namespaces_.end()) {
        created_.push_back(found->second / name);
    }
    return true;
}

bool ForegroundWatch::has_new_container() {
    watch_tasks(Found::perhaps_new);
    bool is_new = std::exchange(has_found_, false);
    alignas(inotify_event) std::array<char, 4096> events{};
    for (;;) {
        const ssize_t bytes = ::read(events_.get(), events.data(), events.size());
        if (bytes <= 0) return is_new;
        for (std::size_t at = 0; at < static_cast<std::size_t>(bytes);) {
            inotify_event event{};
            std::memcpy(&event, events.data() + at, sizeof(event));
            const char* const name = events.data() + at + sizeof(event);
            is_new |= take(event, event.len > 0 ? name : "");
            at += sizeof(event) + event.len;
        }
    }
}

std::uint64_t ForegroundWatch::disk_bytes() const {
    std::uint64_t bytes = 0;
    for (const std::filesystem::path& stat : stats_)
        bytes += read_bytes_in(text_of(stat)).value_or(0);
    return bytes;
}

std::uint64_t ForegroundWatch::stalled() const {
    // Our own unit is in neither of them. With version 1 of cgroups they do not exist.
    std::uint64_t total = 0;
    for (const char* slice : {"kubepods.slice", "system.slice"}) {
        const std::filesystem::path pressure =
            places_.sys / "fs" / "cgroup" / slice / "io.pressure";
        total += stalled_in(text_of(pressure)).value_or(0);
    }
    return total;
}

Foreground ForegroundWatch::sample(Time now, std::uint64_t own_bytes) {
    Foreground foreground;
    if (has_new_container()) started_ = now;
    foreground.is_starting = started_ != Time{} && now - started_ < kStarting;
    const std::uint64_t bytes = disk_bytes();
    const std::uint64_t stalled_time = stalled();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    if (last_ != Time{} && seconds > 0) {
        const auto all = static_cast<double>(bytes) - static_cast<double>(last_bytes_);
        const double own = static_cast<double>(own_bytes) - static_cast<double>(last_own_);
        foreground.bytes_per_second = std::max(0.0, all - own) / seconds;
        const auto waited = static_cast<double>(stalled_time) - static_cast<double>(last_stalled_);
        foreground.stalled = std::clamp(waited / 1e6 / seconds, 0.0, 1.0);
    }
    last_ = now;
    last_bytes_ = bytes;
    last_own_ = own_bytes;
    last_stalled_ = stalled_time;
    return foreground;
}

}  // namespace prebake::hydrate
