#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <tuple>
#include <vector>

#include "agent/bake/active_snapshot.h"
#include "agent/bake/layer_bytes.h"
#include "agent/bake/layer_tree.h"
#include "agent/bake/leased_store.h"
#include "agent/bake/once_map.h"
#include "agent/bake/resolve.h"
#include "agent/bake/snapshot_sync.h"
#include "agent/bake/staging.h"
#include "agent/base/slots.h"
#include "agent/base/worker_pool.h"
#include "agent/store/snapshot_directories.h"

namespace prebake::bake {

/// Makes containerd apply a stored layer to a prepared snapshot. Returns the diffID.
class LayerApplier {
  public:
    virtual ~LayerApplier() = default;
    virtual oci::Digest apply(const std::string& ns, const oci::Descriptor& layer,
                              const std::vector<containerd::Mount>& mounts) = 0;
};

/// containerd's Diff service, which works with every snapshotter.
class DiffServiceApplier : public LayerApplier {
  public:
    explicit DiffServiceApplier(const LeasedStore& store) : store_(store) {}
    oci::Digest apply(const std::string& ns, const oci::Descriptor& layer,
                      const std::vector<containerd::Mount>& mounts) override;

  private:
    const LeasedStore& store_;
};

enum class UnpackOutcome { unpacked, already_there };

/// A layer, and where it is unpacked.
struct UnpackJob {
    const ResolvedImage& image;
    std::size_t layer;
    const std::string& ns;
    const std::string& snapshotter;

    const oci::Descriptor& blob() const { return image.contents.layers[layer]; }
    const oci::Digest& chain_id() const { return image.chain_ids[layer]; }
    std::string parent() const { return layer == 0 ? "" : image.chain_ids[layer - 1].str(); }
};

/// Builds chains of committed snapshots, each at most once per bake. Where it can, it writes the
/// trees itself, those of several layers side by side: a snapshot is committed after the one below,
/// but its files do not depend on that one. Otherwise containerd applies the layers. Thread-safe.
class Unpacker {
  public:
    /// Has `parallel` trees written at a time, by the threads of `pool` and those of the images;
    /// those that wait for bytes do not count. `obstacle`: why trees cannot be written by us;
    /// empty: they can. The referenced objects must live longer.
    Unpacker(const LeasedStore& store, LayerBytes& bytes, LayerApplier& applier, WorkerPool& pool,
             std::size_t parallel, std::string obstacle)
        : store_(store),
          bytes_(bytes),
          applier_(applier),
          pool_(pool),
          writing_(parallel),
          is_blocked_(!obstacle.empty()),
          sync_([&store](const std::string& snapshotter) { return sync_of(store, snapshotter); }),
          counts_{.obstacle = std::move(obstacle)} {}

    class Ahead;
    /// Begins to write the tree of a layer, which may still be on its way. `has_parent`: the
    /// snapshot below is committed. Null if another image has begun it, or if it cannot be done.
    std::shared_ptr<Ahead> start(const UnpackJob& job, bool has_parent,
                                 const std::stop_token& stop);
    /// Waits until nothing is written for `ahead` on the pool, and forgets it.
    void abandon(const std::shared_ptr<Ahead>& ahead);

    /// Makes the committed snapshot of the layer; the layer must be stored, and the layers below be
    /// done. @throws Error corrupt if the layer does not have the diffID that the image's config
    /// names; nothing of it is then left.
    UnpackOutcome ensure(const UnpackJob& job);

    /// Snapshots whose trees we wrote, and those that containerd made.
    struct Counts {
        std::size_t written = 0;
        std::size_t applied = 0;
        std::string obstacle;  ///< why containerd had to; the first one
    };
    Counts counts() const;

  private:
    using Key = std::tuple<std::string, std::string, oci::Digest>;
    static SnapshotSync::Sync sync_of(const LeasedStore& store, const std::string& snapshotter);
    static Key key_of(const UnpackJob& job) { return {job.ns, job.snapshotter, job.chain_id()}; }

    containerd::Snapshots snapshots(const UnpackJob& job) const {
        return {store_.connection(), store_.scope(job.ns), job.snapshotter};
    }
    /// A tree, and the snapshot that it was written into; null: it is in the staging.
    struct Written {
        std::unique_ptr<ActiveSnapshot> snapshot;
        std::unique_ptr<LayerTree> tree;
    };
    std::shared_ptr<Staging> staging_of(const UnpackJob& job);
    Written write_ahead(const UnpackJob& job, bool has_parent, const std::stop_token& stop);
    std::shared_ptr<Ahead> take(const Key& key);
    Written take_written(const UnpackJob& job);
    std::unique_ptr<ActiveSnapshot> prepare(const UnpackJob& job) const;
    void commit(const UnpackJob& job, ActiveSnapshot& snapshot) const;
    store::SnapshotDirectories place_in(const UnpackJob& job, const ActiveSnapshot& snapshot);
    bool is_proven(const std::string& snapshotter) const;
    UnpackOutcome make(const UnpackJob& job);
    UnpackOutcome place(const UnpackJob& job, Written written);
    UnpackOutcome build(const UnpackJob& job);
    bool try_to_place(const UnpackJob& job, LayerTree& tree, bool is_in_place,
                      const ActiveSnapshot& own);
    bool try_to_write(const UnpackJob& job, const store::SnapshotDirectories& place);
    void apply(const UnpackJob& job, const ActiveSnapshot& snapshot);
    oci::Digest write(LayerTree& tree, const UnpackJob& job, const std::stop_token& stop);
    void report(EventKind kind, const UnpackJob& job, std::uint64_t unpacked) const;
    void count(std::size_t Counts::*which);
    void leave_to_containerd(const UnpackJob& job, const std::string& why);
    void leave_layer_to_containerd(const UnpackJob& job, const Error& error);
    bool may_write(const std::string& snapshotter) const;

    const LeasedStore& store_;
    LayerBytes& bytes_;
    LayerApplier& applier_;
    WorkerPool& pool_;
    Slots writing_;
    const bool is_blocked_;
    SnapshotSync sync_;
    OnceMap<Key> once_;
    std::mutex staging_mutex_;
    std::map<std::pair<std::string, std::string>, std::shared_ptr<Staging>> staging_;
    mutable std::mutex mutex_;
    std::map<Key, std::shared_ptr<Ahead>> ahead_;
    std::set<std::string> proven_;              ///< snapshotters into which we can write
    std::set<std::string> left_to_containerd_;  ///< snapshotters
    Counts counts_;
};

}  // namespace prebake::bake
