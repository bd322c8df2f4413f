#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"

namespace prebake::containerd {

/// On a snapshot that is being made: the name that it will be committed under.
inline constexpr const char* kSnapshotRefLabel = "containerd.io/snapshot.ref";

/// containerd.types.Mount: how to mount a snapshot. Only containerd interprets it here.
struct Mount {
    std::string type;
    std::string source;
    std::string target;
    std::vector<std::string> options;
};

/// containerd.services.snapshots.v1.Kind. Only an active one can have been prepared for a
/// container: a view is there to look at an image.
enum class SnapshotKind { unknown, view, active, committed };

struct SnapshotInfo {
    std::string name;
    std::string parent;
    SnapshotKind kind = SnapshotKind::unknown;
    Labels labels;
    std::chrono::system_clock::time_point created_at = {};
};

struct SnapshotUsage {
    std::uint64_t bytes = 0;
    std::uint64_t inodes = 0;
};

enum class CommitOutcome { committed, already_there };

/// containerd.services.snapshots.v1, one snapshotter of one namespace.
class Snapshots {
  public:
    Snapshots(const Connection& connection, Scope scope, std::string snapshotter);

    /// All snapshots of the namespace, containers' too. @throws Error not_found for an unknown
    /// snapshotter.
    std::vector<SnapshotInfo> list() const;
    std::optional<SnapshotInfo> stat(const std::string& name) const;
    /// Makes the active snapshot `key` upon `parent` (empty: none). Nothing when the label
    /// containerd.io/snapshot.ref names a snapshot that exists already: the layer is done, and that
    /// snapshot is now under the scope's lease too. @throws Error conflict if `key` itself exists;
    /// not_found for a missing parent or an unknown snapshotter.
    std::optional<std::vector<Mount>> prepare(const std::string& key, const std::string& parent,
                                              const Labels& labels) const;
    /// Turns the active `key` into the committed `name`; `labels` are its final ones.
    CommitOutcome commit(const std::string& name, const std::string& key,
                         const Labels& labels) const;
    /// One that does not exist is fine. @throws Error failed_precondition if it has children.
    void remove(const std::string& key) const;
    /// Of this snapshot alone, without its parents. @throws Error not_found.
    SnapshotUsage usage(const std::string& name) const;

    const std::string& snapshotter() const { return snapshotter_; }

  private:
    const Connection& connection_;
    Scope scope_;
    std::string snapshotter_;
};

}  // namespace prebake::containerd
