#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "agent/store/storage.h"

namespace prebake::bake {

/// Writes the trees of snapshots to the disk before these are committed: a committed snapshot is
/// never unpacked again, even if the disk lost its files. Thread-safe.
class SnapshotSync {
  public:
    using Clock = std::chrono::steady_clock;

    explicit SnapshotSync(const store::Storage& storage) : storage_(storage) {}

    /// Returns when everything that was written into snapshots of `snapshotter` until `written_at`
    /// is on the disk. One sync serves all that wait for it. @throws Error no_space, io.
    void wait_for(const std::string& snapshotter, Clock::time_point written_at);

  private:
    struct Last {
        std::mutex running;
        Clock::time_point begun = Clock::time_point::min();
    };

    const store::Storage& storage_;
    std::mutex mutex_;
    std::map<std::string, Last> last_;
};

/// Writes to the disk what was changed in directories and attributes of the file system of
/// `directory`, after its contents were: the journal of ext4 and XFS is written up to a change of
/// `directory` itself. On others everything is synced. @throws Error no_space, io.
void sync_metadata(const std::filesystem::path& directory);

}  // namespace prebake::bake
