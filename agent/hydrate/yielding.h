#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// What others do meanwhile.
struct Foreground {
    double bytes_per_second = 0;  ///< that others read of the same disk
    double stalled = 0;  ///< share of the time in which a task of another slice waited for I/O
    bool is_starting = false;  ///< a container was created within the last two seconds
};

/// How many of the reads that the disk is good for may be in flight. Ranks METADATA and TRACED are
/// what the foreground waits for, so they give way only a little; the others make room at once,
/// but never stop. Pure.
unsigned yielded_depth(unsigned depth, v1::HydrationRank rank, const Foreground& foreground);

/// Bytes that were read, by the file `stat` of a block device in sysfs. Nothing if it has another
/// form. Pure.
std::optional<std::uint64_t> read_bytes_in(const std::string& stat);

/// Microseconds in which some task was stalled, by a file io.pressure. Pure.
std::optional<std::uint64_t> stalled_in(const std::string& pressure);

/// Watches the foreground. What the machine does not have counts as quiet.
class ForegroundWatch {
  public:
    using Time = std::chrono::steady_clock::time_point;

    struct Places {
        std::filesystem::path sys = "/sys";
        /// Of containerd's runtime: a directory for each namespace, with one for each container.
        std::filesystem::path tasks = "/run/containerd/io.containerd.runtime.v2.task";
    };

    explicit ForegroundWatch(const std::vector<dev_t>& disks) : ForegroundWatch(disks, Places()) {}
    ForegroundWatch(const std::vector<dev_t>& disks, Places places);

    /// `own_bytes`: what we have read of these disks so far. Cheap: a few small files.
    Foreground sample(Time now, std::uint64_t own_bytes);

  private:
    void watch_tasks();
    bool has_new_container();
    std::uint64_t disk_bytes() const;
    std::uint64_t stalled() const;

    Places places_;
    std::vector<std::filesystem::path> stats_;
    FileDescriptor events_;  ///< of inotify
    bool is_watching_tasks_ = false;
    Time last_{};
    std::uint64_t last_bytes_ = 0;
    std::uint64_t last_own_ = 0;
    std::uint64_t last_stalled_ = 0;
    Time started_{};  ///< when the last container was created
};

}  // namespace prebake::hydrate
