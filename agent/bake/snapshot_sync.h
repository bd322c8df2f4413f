#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "agent/base/error.h"

namespace prebake::bake {

/// Writes the trees of snapshots to the disk before these are committed: a committed snapshot is
/// never unpacked again, even if the disk lost its files. Thread-safe.
class SnapshotSync {
  public:
    using Clock = std::chrono::steady_clock;

    /// Syncs the disk of a snapshotter, and reports what failed since it was opened.
    using Sync = std::function<void()>;
    explicit SnapshotSync(std::function<Sync(const std::string& snapshotter)> open)
        : open_(std::move(open)) {}

    /// Something is about to be written into snapshots of `snapshotter`.
    void prepare_for(const std::string& snapshotter) { last_of(snapshotter); }
    /// Returns when everything that was written into snapshots of `snapshotter` until `written_at`
    /// is on the disk. One sync serves all that wait for it. After a failure, what was written
    /// before it never is: the next sync succeeds, because the kernel has dropped what it could not
    /// write. @throws Error no_space, io.
    void wait_for(const std::string& snapshotter, Clock::time_point written_at);
    /// What is at the path of `snapshotter` may not be containerd's directory, so it is not known
    /// which file system is written: from now on all are synced.
    void distrust(const std::string& snapshotter);

  private:
    struct Last {
        Sync sync;  ///< protected by mutex_, the rest by `running`
        std::mutex running;
        Clock::time_point begun = Clock::time_point::min();
        std::optional<Error> failure;
        Clock::time_point failed_at = Clock::time_point::min();
    };
    Last& last_of(const std::string& snapshotter);
    Sync sync_of(const Last& last);

    const std::function<Sync(const std::string&)> open_;
    std::mutex mutex_;
    std::map<std::string, Last> last_;
};

/// Writes to the disk what was changed in directories and attributes of the file system of
/// `directory`, after its contents were: the journal of ext4 and XFS is written up to a change of
/// `directory` itself. On others everything is synced. @throws Error no_space, io.
void sync_metadata(const std::filesystem::path& directory);

}  // namespace prebake::bake
