#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/file.h"
#include "proto/prebake/v1/hydration.pb.h"

struct inotify_event;

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

/// Where containerd has what runs, if nobody has configured anything else.
std::vector<std::filesystem::path> usual_containerd_states();

/// The state directory in containerd's configuration file; empty: it has none. The file may be on a
/// disk that is cold: nothing waits for the read, also if the result is not taken.
std::future<std::filesystem::path> configured_containerd_state(const std::filesystem::path& file);

/// Watches the foreground. What the machine does not have counts as quiet.
class ForegroundWatch {
  public:
    using Time = std::chrono::steady_clock::time_point;

    struct Places {
        std::filesystem::path sys = "/sys";
        /// State directories of containerd: its own, and that of the one that dockerd starts.
        std::vector<std::filesystem::path> states = usual_containerd_states();
    };

    explicit ForegroundWatch(const std::vector<dev_t>& disks) : ForegroundWatch(disks, Places()) {}
    ForegroundWatch(const std::vector<dev_t>& disks, Places places);

    /// Another state directory of containerd. What was created in it after this object counts as
    /// new.
    void add_state(const std::filesystem::path& state);

    /// Directories of the runtime, one for each container that was created since the last call.
    std::vector<std::filesystem::path> take_created() { return std::exchange(created_, {}); }

    /// `own_bytes`: what we have read of these disks so far. Cheap: a few small files.
    Foreground sample(Time now, std::uint64_t own_bytes);

  private:
    /// Of containerd's runtime: a directory for each namespace, with one for each container.
    struct Tasks {
        std::filesystem::path directory;
        int watch = -1;  ///< of inotify; -1: it is not there
    };
    enum class Found { old, perhaps_new };

    void watch_tasks(Found found);
    void watch_namespace(const std::filesystem::path& directory, Found found);
    bool take(const inotify_event& event, const std::string& name);
    bool has_new_container();
    std::uint64_t disk_bytes() const;
    std::uint64_t stalled() const;

    Places places_;
    std::vector<std::filesystem::path> stats_;
    FileDescriptor events_;  ///< of inotify
    std::filesystem::file_time_type begun_;
    std::vector<Tasks> tasks_;
    std::map<int, std::filesystem::path> namespaces_;  ///< by their watches
    std::vector<std::filesystem::path> created_;
    bool has_found_ = false;  ///< some that were created before they were watched
    Time last_{};
    std::uint64_t last_bytes_ = 0;
    std::uint64_t last_own_ = 0;
    std::uint64_t last_stalled_ = 0;
    Time started_{};  ///< when the last container was created
};

}  // namespace prebake::hydrate
