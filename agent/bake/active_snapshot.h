#pragma once

#include <filesystem>
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
    /// Why files of this snapshot, which is empty, cannot be written into `directory`, its path for
    /// containerd; empty if they can. In another mount namespace, that path may lead to a directory
    /// that containerd does not use, with snapshots of the same numbers.
    /// @throws Error unavailable; no_space.
    std::string obstacle_in(const std::filesystem::path& directory) const;
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
