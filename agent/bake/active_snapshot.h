#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/containerd/snapshots.h"
#include "agent/oci/digest.h"

namespace prebake::bake {

/// A snapshot while a layer is written into it. Removed at the end, unless it was committed; if
/// that fails, it goes with the lease.
class ActiveSnapshot {
  public:
    /// Creates it on the snapshot `parent` (empty: none). Null if `labels` names a snapshot that
    /// is there already. `chain_id` is what the layer will be; it is part of the key.
    /// @throws Error as containerd::Snapshots::prepare().
    static std::unique_ptr<ActiveSnapshot> prepare(const containerd::Snapshots& snapshots,
                                                   const oci::Digest& chain_id,
                                                   const std::string& parent,
                                                   const containerd::Labels& labels);
    ~ActiveSnapshot();
    ActiveSnapshot(const ActiveSnapshot&) = delete;
    ActiveSnapshot& operator=(const ActiveSnapshot&) = delete;

    /// Whether prepare() makes such keys; other clients' differ.
    static bool is_key(std::string_view key);

    const std::vector<containerd::Mount>& mounts() const { return mounts_; }
    /// If another client was faster, its snapshot counts.
    void commit(const std::string& name, const containerd::Labels& labels);

  private:
    ActiveSnapshot(containerd::Snapshots snapshots, std::string key,
                   std::vector<containerd::Mount> mounts)
        : snapshots_(std::move(snapshots)), key_(std::move(key)), mounts_(std::move(mounts)) {}

    containerd::Snapshots snapshots_;
    std::string key_;  ///< empty: committed
    std::vector<containerd::Mount> mounts_;
};

}  // namespace prebake::bake
