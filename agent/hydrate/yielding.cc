#include "agent/hydrate/yielding.h"

#include <sys/inotify.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/hydrate/disk.h"

namespace prebake::hydrate {
namespace {

constexpr std::size_t kMaxBytes = 4096;
constexpr std::chrono::seconds kStarting{2};
// Less than that is what every machine does all the time.
constexpr double kReadsMuch = 4.0 * 1024 * 1024;
constexpr double kStalledSome = 0.1;
constexpr double kStalledMuch = 0.4;

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

}  // namespace

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
    : places_(std::move(places)), events_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    for (const dev_t disk : disks) {
        const std::string number = std::to_string(major(disk)) + ":" + std::to_string(minor(disk));
        stats_.push_back(places_.sys / "dev" / "block" / number / "stat");
    }
    watch_tasks();
}

void ForegroundWatch::watch_tasks() {
    if (!events_ || is_watching_tasks_) return;
    std::error_code ignored;
    const auto watch = [&](const std::filesystem::path& path) {
        return ::inotify_add_watch(events_.get(), path.c_str(), IN_CREATE | IN_ONLYDIR) >= 0;
    };
    // The namespaces come and go, so the directory above is watched as well.
    is_watching_tasks_ = watch(places_.tasks);
    if (!is_watching_tasks_) return;
    for (const auto& entry : std::filesystem::directory_iterator(places_.tasks, ignored)) {
        watch(entry.path());
    }
}

bool ForegroundWatch::has_new_container() {
    watch_tasks();
    bool is_new = false;
    alignas(inotify_event) std::array<char, 4096> events{};
    for (;;) {
        const ssize_t bytes = ::read(events_.get(), events.data(), events.size());
        if (bytes <= 0) break;
        is_new = true;
    }
    if (!is_new) return false;
    // Perhaps it was the first container of a namespace. A watch that exists is not added twice.
    is_watching_tasks_ = false;
    watch_tasks();
    return true;
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
