#pragma once

#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/containerd/snapshots.h"

namespace prebake::store {

/// A view of a committed snapshot, for its mounts. It is removed at the end; if this process dies,
/// with its lease, which expires.
class SnapshotView {
  public:
    /// @throws Error as containerd::Snapshots::view().
    SnapshotView(const containerd::Connection& connection, const std::string& ns,
                 const std::string& snapshotter, const std::string& snapshot);
    ~SnapshotView();
    SnapshotView(const SnapshotView&) = delete;
    SnapshotView& operator=(const SnapshotView&) = delete;

    const std::vector<containerd::Mount>& mounts() const { return mounts_; }

  private:
    void remove() const;

    const containerd::Connection& connection_;
    std::string ns_;
    std::string key_;  ///< of the view and of the lease
    containerd::Snapshots snapshots_;
    std::vector<containerd::Mount> mounts_;
};

}  // namespace prebake::store
