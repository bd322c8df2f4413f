#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"

namespace prebake::containerd {

/// Label of an active snapshot: the name under which it will be committed.
inline constexpr const char* kSnapshotRefLabel = "containerd.io/snapshot.ref";

/// Labels of an active snapshot that an image's layer is unpacked into: its diffID, and the name of
/// the snapshot below. Snapshotters with a cache of layers find the layer by them (since 2.4).
inline constexpr const char* kDiffIdLabel = "containerd.io/snapshot/diff-id";
inline constexpr const char* kParentLabel = "containerd.io/snapshot/parent-chain-id";

/// containerd.types.Mount: how to mount a snapshot. We pass it back to containerd.
struct Mount {
    std::string type;
    std::string source;
    std::string target;
    std::vector<std::string> options;
};

/// True if prepare() returned these mounts for a snapshot that the snapshotter has filled itself,
/// from a cache of layers (since 2.4): it only has to be committed. The last mount is then
/// read-only (mount.Mount.ReadOnly of containerd); those before it are only its input. Pure.
bool is_staged(const std::vector<Mount>& mounts);

/// containerd.services.snapshots.v1.Kind. Containers use active snapshots; views are for reading an
/// image.
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

    /// All snapshots of the namespace, including those of containers. @throws Error not_found for
    /// an unknown snapshotter.
    std::vector<SnapshotInfo> list() const;
    std::optional<SnapshotInfo> stat(const std::string& name) const;
    /// Creates the active snapshot `key` on `parent` (empty: none). Nothing if the label
    /// containerd.io/snapshot.ref names a snapshot that exists: the layer is unpacked already, and
    /// its snapshot is now under the scope's lease too. @throws Error conflict if `key` itself
    /// exists; not_found for a missing parent or an unknown snapshotter.
    std::optional<std::vector<Mount>> prepare(const std::string& key, const std::string& parent,
                                              const Labels& labels) const;
    /// Creates the view `key` of the committed `parent`: what is mounted to read it. @throws Error
    /// conflict if `key` exists; not_found for a missing parent or an unknown snapshotter.
    std::vector<Mount> view(const std::string& key, const std::string& parent) const;
    /// Turns the active `key` into the committed `name`; `labels` are its final ones.
    CommitOutcome commit(const std::string& name, const std::string& key,
                         const Labels& labels) const;
    /// Does nothing if there is no such snapshot. @throws Error failed_precondition if it has
    /// children.
    void remove(const std::string& key) const;
    /// The usage of this snapshot without its parents. @throws Error not_found.
    SnapshotUsage usage(const std::string& name) const;

    const std::string& snapshotter() const { return snapshotter_; }

  private:
    const Connection& connection_;
    Scope scope_;
    std::string snapshotter_;
};

}  // namespace prebake::containerd
