#include "agent/bake/unpack.h"

#include <atomic>
#include <chrono>

#include "agent/base/error.h"
#include "agent/store/labels.h"

namespace prebake::bake {
namespace {

/// The key of a snapshot while it is filled. Clients and the ledger recognise unpacking by the
/// prefix "extract-"; the rest only has to be unique.
std::string active_key(const oci::Digest& chain_id) {
    static std::atomic<unsigned> counter{0};
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return "extract-" + std::to_string(std::chrono::nanoseconds(now).count()) + "-prebake" +
           std::to_string(counter++) + " " + chain_id.str();
}

/// Removes an active snapshot unless it was committed. If that fails, it goes with the lease.
class ActiveSnapshot {
  public:
    ActiveSnapshot(const containerd::Snapshots& snapshots, std::string key)
        : snapshots_(snapshots), key_(std::move(key)) {}
    ~ActiveSnapshot() {
        if (committed_) return;
        try {
            snapshots_.remove(key_);
        } catch (const Error&) {
            return;
        }
    }
    ActiveSnapshot(const ActiveSnapshot&) = delete;
    ActiveSnapshot& operator=(const ActiveSnapshot&) = delete;

    const std::string& key() const { return key_; }
    void commit(const std::string& name, const containerd::Labels& labels) {
        // already_there: another client was faster. The active one is then ours to remove.
        committed_ = snapshots_.commit(name, key_, labels) == containerd::CommitOutcome::committed;
    }

  private:
    const containerd::Snapshots& snapshots_;
    std::string key_;
    bool committed_ = false;
};

}  // namespace

oci::Digest DiffServiceApplier::apply(const std::string& ns, const oci::Descriptor& layer,
                                      const std::vector<containerd::Mount>& mounts) {
    return containerd::Diff(store_.connection(), store_.scope(ns)).apply(layer, mounts);
}

UnpackOutcome Unpacker::ensure(const ResolvedImage& image, std::size_t layer, const std::string& ns,
                               const std::string& snapshotter) {
    UnpackOutcome outcome = UnpackOutcome::already_there;
    once_.run({ns, snapshotter, image.chain_ids[layer]}, [&] {
        const containerd::Snapshots snapshots(store_.connection(), store_.scope(ns), snapshotter);
        store_.outlast_restart(image.name(), [&] { outcome = build(image, layer, snapshots, ns); });
    });
    const oci::Descriptor& blob = image.contents.layers[layer];
    store_.events().on_event({.kind = EventKind::unpacked,
                              .image = image.name(),
                              .layer = blob.digest.str(),
                              .snapshot = snapshot_id(ns, image.chain_ids[layer]),
                              .current = outcome == UnpackOutcome::unpacked ? blob.size : 0,
                              .total = blob.size});
    return outcome;
}

UnpackOutcome Unpacker::build(const ResolvedImage& image, std::size_t layer,
                              const containerd::Snapshots& snapshots, const std::string& ns) {
    const oci::Descriptor& blob = image.contents.layers[layer];
    const std::string chain_id = image.chain_ids[layer].str();
    const std::string parent = layer == 0 ? "" : image.chain_ids[layer - 1].str();
    const store::Labels labels{{containerd::kSnapshotRefLabel, chain_id}};
    store::Labels active_labels = labels;
    active_labels.emplace(containerd::kDiffIdLabel, image.diff_ids[layer].str());
    if (layer > 0) active_labels.emplace(containerd::kParentLabel, parent);

    const std::string key = active_key(image.chain_ids[layer]);
    const auto mounts = snapshots.prepare(key, parent, active_labels);
    if (!mounts) return UnpackOutcome::already_there;
    ActiveSnapshot active(snapshots, key);

    store_.events().on_event({.kind = EventKind::unpacking,
                              .image = image.name(),
                              .layer = blob.digest.str(),
                              .snapshot = snapshot_id(ns, image.chain_ids[layer]),
                              .total = blob.size});
    // A staged snapshot has the layer already, and cannot be written.
    if (!containerd::is_staged(*mounts)) apply(image, layer, ns, *mounts);
    // Synced first: a committed snapshot is never unpacked again, even if the disk lost its files.
    store_.storage().sync_snapshotter(snapshots.snapshotter());
    active.commit(chain_id, labels);
    return UnpackOutcome::unpacked;
}

void Unpacker::apply(const ResolvedImage& image, std::size_t layer, const std::string& ns,
                     const std::vector<containerd::Mount>& mounts) {
    const oci::Descriptor& blob = image.contents.layers[layer];
    const oci::Digest diff_id = applier_.apply(ns, blob, mounts);
    if (diff_id == image.diff_ids[layer]) return;
    throw Error(Errc::corrupt,
                "layer " + blob.digest.str() + " unpacks to diffID " + diff_id.str() +
                    ", but the image's config says " + image.diff_ids[layer].str(),
                "the image is broken where it was built: build and push it again");
}

}  // namespace prebake::bake
