#include "agent/bake/snapshot_sync.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/unit/temporary_directory.h"

namespace prebake::bake::snapshot_sync_test {

using Clock = SnapshotSync::Clock;

/// Counts, and can fail.
struct Disk {
    std::vector<std::string> opened;
    int syncs = 0;
    std::optional<Error> failure;

    SnapshotSync::Sync open(const std::string& snapshotter) {
        opened.push_back(snapshotter);
        return [this] {
            ++syncs;
            if (failure) throw Error(*failure);
        };
    }
};

TEST_CASE("one sync serves all trees that were written before it") {
    Disk disk;
    SnapshotSync sync([&](const std::string& snapshotter) { return disk.open(snapshotter); });
    sync.prepare_for("overlayfs");
    const auto first = Clock::now();
    const auto second = Clock::now();
    sync.wait_for("overlayfs", second);
    sync.wait_for("overlayfs", first);
    CHECK(disk.syncs == 1);
    sync.wait_for("overlayfs", Clock::now());
    CHECK(disk.syncs == 2);
    sync.wait_for("native", first);
    CHECK(disk.syncs == 3);
    const std::vector<std::string> each_once{"overlayfs", "native"};
    CHECK(disk.opened == each_once);
}

TEST_CASE("what was written before a sync that failed is not on the disk after the next one") {
    Disk disk;
    SnapshotSync sync([&](const std::string& snapshotter) { return disk.open(snapshotter); });
    const auto first = Clock::now();
    const auto second = Clock::now();
    disk.failure = Error(Errc::io, "cannot sync");
    CHECK_THROWS_AS(sync.wait_for("overlayfs", first), Error);
    disk.failure.reset();
    CHECK_THROWS_WITH_AS(sync.wait_for("overlayfs", second), "cannot sync", Error);
    CHECK(disk.syncs == 1);
    // Written again.
    sync.wait_for("overlayfs", Clock::now());
    CHECK(disk.syncs == 2);
    CHECK_THROWS_AS(sync.wait_for("overlayfs", first), Error);
}

TEST_CASE("what changed in a directory is synced") {
    const TemporaryDirectory directory;
    sync_metadata(directory.path());
    CHECK_THROWS_AS(sync_metadata(directory.path() / "missing"), Error);
}

TEST_CASE("a directory that is not known to be containerd's is not what is synced") {
    Disk disk;
    SnapshotSync sync([&](const std::string& snapshotter) { return disk.open(snapshotter); });
    disk.failure = Error(Errc::io, "not containerd's");
    sync.distrust("overlayfs");
    CHECK_NOTHROW(sync.wait_for("overlayfs", Clock::now()));
    CHECK(disk.syncs == 0);
    CHECK(disk.opened.empty());
}

}  // namespace prebake::bake::snapshot_sync_test
