#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "agent/bake/active_snapshot.h"

namespace prebake::bake {

/// Directories beside the snapshots of a snapshotter, for trees whose own snapshots cannot be
/// prepared yet, because those below are not committed. They are in an active snapshot without a
/// parent, so that containerd removes what this process leaves. Thread-safe.
class Staging {
  public:
    /// `chain_id` is part of the key of the snapshot; any layer's will do.
    /// @throws Error as containerd::Snapshots::prepare().
    Staging(const containerd::Snapshots& snapshots, const oci::Digest& chain_id);

    /// Not empty: there can be no such directories, for this reason.
    const std::string& obstacle() const { return obstacle_; }
    /// The obstacle is that containerd's directory cannot be written at this path.
    bool is_hidden() const { return is_hidden_; }
    /// A new, empty one. @throws Error no_space, io.
    std::filesystem::path make_directory();

  private:
    std::unique_ptr<ActiveSnapshot> snapshot_;
    std::filesystem::path root_;
    std::string obstacle_;
    bool is_hidden_ = false;
    std::atomic<unsigned> made_ = 0;
};

}  // namespace prebake::bake
