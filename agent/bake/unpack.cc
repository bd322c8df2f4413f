#include "agent/bake/unpack.h"

#include <algorithm>
#include <atomic>
#include <future>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/wait.h"
#include "agent/containerd/diff.h"
#include "agent/store/labels.h"
#include "agent/store/snapshot_directories.h"

namespace prebake::bake {
namespace {

store::Labels committed_labels(const UnpackJob& job) {
    return {{containerd::kSnapshotRefLabel, job.chain_id().str()}};
}

store::Labels active_labels(const UnpackJob& job) {
    store::Labels labels = committed_labels(job);
    labels.emplace(containerd::kDiffIdLabel, job.image.diff_ids[job.layer].str());
    if (job.layer > 0) labels.emplace(containerd::kParentLabel, job.parent());
    return labels;
}

void require_diff_id(const UnpackJob& job, const oci::Digest& found) {
    const oci::Digest& wanted = job.image.diff_ids[job.layer];
    if (found == wanted) return;
    throw Error(Errc::corrupt,
                "layer " + job.blob().digest.str() + " unpacks to diffID " + found.str() +
                    ", but the image's config says " + wanted.str(),
                "the image is broken where it was built: build and push it again");
}

/// The file of a layer in which the disk became full says little: any other could have.
Error does_not_fit(const UnpackJob& job, const Error& error) {
    return Error(Errc::no_space,
                 "layer " + job.blob().digest.str() + " (" + format_bytes(job.blob().size) +
                     ") does not fit on the disk when it is unpacked: " + error.message(),
                 "free disk space for containerd, or leave the image out");
}

/// Whiteouts of the first layer have nothing to hide: containerd applies it to a plain directory.
layer::Whiteouts whiteouts_of(const UnpackJob& job) {
    return job.layer == 0 ? layer::Whiteouts::apply : layer::Whiteouts::overlay;
}

/// Where the tree of the layer is written. A plain directory with a parent already holds a copy of
/// the parent's files: that is not the snapshotter that we know.
store::SnapshotDirectories directories_for(const std::vector<containerd::Mount>& mounts,
                                           bool has_parent) {
    store::SnapshotDirectories found = store::visible_directories_of(mounts);
    if (found.obstacle.empty() && has_parent && found.lowers.empty()) {
        return {.upper = {}, .lowers = {}, .obstacle = "it is no overlay"};
    }
    return found;
}

/// Errors after which containerd may still unpack the layer, or says better why not.
bool is_left_to_containerd(const Error& error) {
    const auto codes = {Errc::corrupt, Errc::unsupported, Errc::too_large, Errc::permission_denied,
                        Errc::io};
    return std::find(codes.begin(), codes.end(), error.code()) != codes.end();
}

}  // namespace

/// The tree of a layer that is written before its turn to be committed.
class Unpacker::Ahead {
  public:
    explicit Ahead(Key of) : key(std::move(of)) {}

    const Key key;
    enum class Owner { nobody, pool, other };
    /// True for one caller: the pool, to write the tree; or somebody who needs it now, or does not
    /// need it any more.
    bool claim(Owner owner) {
        Owner expected = Owner::nobody;
        return owner_.compare_exchange_strong(expected, owner);
    }
    bool is_begun() const { return owner_ == Owner::pool; }

    std::shared_future<void> done;
    Written written;  ///< complete when `done` is

  private:
    std::atomic<Owner> owner_ = Owner::nobody;
};

SnapshotSync::Sync Unpacker::sync_of(const LeasedStore& store, const std::string& snapshotter) {
    // std::function copies what it holds.
    auto disk = std::make_shared<std::optional<OpenedFileSystem>>(
        store.storage().open_snapshotter(snapshotter));
    return [disk] {
        if (*disk) (*disk)->sync();
    };
}

oci::Digest DiffServiceApplier::apply(const std::string& ns, const oci::Descriptor& layer,
                                      const std::vector<containerd::Mount>& mounts) {
    return containerd::Diff(store_.connection(), store_.scope(ns)).apply(layer, mounts);
}

std::shared_ptr<Unpacker::Ahead> Unpacker::start(const UnpackJob& job, bool has_parent,
                                                 const std::stop_token& stop) {
    if (!may_write(job.snapshotter)) return nullptr;
    const std::scoped_lock lock(mutex_);
    const auto [entry, is_new] = ahead_.try_emplace(key_of(job));
    if (!is_new) return nullptr;
    entry->second = std::make_shared<Ahead>(entry->first);
    std::shared_ptr<Ahead> ahead = entry->second;
    const bool is_on_parent = has_parent || job.layer == 0;
    // The future keeps the function: it must not keep what has the future.
    const std::weak_ptr<Ahead> wanted = ahead;
    ahead->done = pool_
                      .submit([this, wanted, job, is_on_parent, stop] {
                          const std::shared_ptr<Ahead> target = wanted.lock();
                          if (!target || !target->claim(Ahead::Owner::pool)) return;
                          target->written = write_ahead(job, is_on_parent, stop);
                      })
                      .share();
    return ahead;
}

void Unpacker::abandon(const std::shared_ptr<Ahead>& ahead) {
    {
        const std::scoped_lock lock(mutex_);
        const auto entry = ahead_.find(ahead->key);
        if (entry != ahead_.end() && entry->second == ahead) ahead_.erase(entry);
    }
    // All threads of the pool may be busy for long: what they have not begun is not waited for.
    if (!ahead->claim(Ahead::Owner::other) && ahead->is_begun()) ahead->done.wait();
}

std::shared_ptr<Unpacker::Ahead> Unpacker::take(const Key& key) {
    const std::scoped_lock lock(mutex_);
    const auto entry = ahead_.find(key);
    if (entry == ahead_.end()) return nullptr;
    std::shared_ptr<Ahead> taken = std::move(entry->second);
    ahead_.erase(entry);
    return taken;
}

/// Into its own snapshot if the one below is committed, otherwise into a staging directory, from
/// which place() moves the tree.
Unpacker::Written Unpacker::write_ahead(const UnpackJob& job, bool has_parent,
                                        const std::stop_token& stop) {
    throw_if_stopped(stop);
    Written written;
    std::filesystem::path directory;
    if (has_parent) {
        store_.outlast_restart(job.image.name(), [&] { written.snapshot = prepare(job); });
        if (!written.snapshot || containerd::is_staged(written.snapshot->mounts())) return {};
        store::SnapshotDirectories own = place_in(job, *written.snapshot);
        if (!own.obstacle.empty()) return {};
        directory = std::move(own.upper);
    } else {
        std::shared_ptr<Staging> staging;
        store_.outlast_restart(job.image.name(), [&] { staging = staging_of(job); });
        if (!staging->obstacle().empty()) {
            if (staging->is_hidden()) sync_.distrust(job.snapshotter);
            leave_to_containerd(job, staging->obstacle());
            return {};
        }
        directory = staging->make_directory();
    }
    written.tree = std::make_unique<LayerTree>(
        directory, has_parent ? LayerTree::Place::snapshot : LayerTree::Place::staging,
        whiteouts_of(job));
    require_diff_id(job, write(*written.tree, job, stop));
    return written;
}

std::shared_ptr<Staging> Unpacker::staging_of(const UnpackJob& job) {
    const std::scoped_lock lock(staging_mutex_);
    std::shared_ptr<Staging>& staging = staging_[{job.ns, job.snapshotter}];
    if (!staging) staging = std::make_shared<Staging>(snapshots(job), job.chain_id());
    return staging;
}

oci::Digest Unpacker::write(LayerTree& tree, const UnpackJob& job, const std::stop_token& stop) {
    std::unique_lock slot(writing_, std::defer_lock);
    const std::unique_ptr<Source> bytes = bytes_.follow(job.ns, job.blob(), stop, slot);
    slot.lock();
    sync_.prepare_for(job.snapshotter);
    return tree.write(*bytes, job.blob(), store_.times(), [&] { throw_if_stopped(stop); });
}

UnpackOutcome Unpacker::ensure(const UnpackJob& job) {
    UnpackOutcome outcome = UnpackOutcome::already_there;
    once_.run(key_of(job), [&] {
        store_.outlast_restart(job.image.name(), [&] {
            try {
                outcome = make(job);
            } catch (const Error& error) {
                if (error.code() != Errc::no_space) throw;
                throw does_not_fit(job, error);
            }
        });
    });
    report(EventKind::unpacked, job,
           outcome == UnpackOutcome::unpacked ? job.blob().size : std::uint64_t{0});
    return outcome;
}

void Unpacker::report(EventKind kind, const UnpackJob& job, std::uint64_t unpacked) const {
    store_.events().on_event({.kind = kind,
                              .image = job.image.name(),
                              .layer = job.blob().digest.str(),
                              .snapshot = snapshot_id(job.ns, job.chain_id()),
                              .current = unpacked,
                              .total = job.blob().size});
}

UnpackOutcome Unpacker::make(const UnpackJob& job) {
    Written written = take_written(job);
    return written.tree ? place(job, std::move(written)) : build(job);
}

/// What was written ahead for the layer. Without a tree if that was not begun, or was not
/// successful.
Unpacker::Written Unpacker::take_written(const UnpackJob& job) {
    const std::shared_ptr<Ahead> ahead = take(key_of(job));
    if (!ahead) return {};
    // The layer is stored. The threads of the pool may all follow others that hardly arrive.
    if (ahead->claim(Ahead::Owner::other)) return {};
    report(EventKind::unpacking, job, 0);
    try {
        ahead->done.get();
    } catch (const Error& error) {
        // It may have been stopped with another image. And what the layer is damaged by is found
        // again, in the bytes that are stored by now.
        if (error.code() == Errc::no_space) throw;
        return {};
    } catch (const std::future_error&) {  // the bake ends
        return {};
    }
    return std::move(ahead->written);
}

UnpackOutcome Unpacker::place(const UnpackJob& job, Written written) {
    const bool is_in_place = written.snapshot != nullptr;
    std::unique_ptr<ActiveSnapshot> own = is_in_place ? std::move(written.snapshot) : prepare(job);
    if (!own) return UnpackOutcome::already_there;
    if (!containerd::is_staged(own->mounts()) &&
        !try_to_place(job, *written.tree, is_in_place, *own)) {
        // The disk need not hold the tree twice.
        written = {};
        own.reset();
        return build(job);
    }
    commit(job, *own);
    return UnpackOutcome::unpacked;
}

/// False if the tree cannot be used in the snapshot `own`.
bool Unpacker::try_to_place(const UnpackJob& job, LayerTree& tree, bool is_in_place,
                            const ActiveSnapshot& own) {
    const store::SnapshotDirectories place = place_in(job, own);
    if (!place.obstacle.empty()) return false;
    const StageTimer timer(store_.times(), Stage::syncing);
    try {
        tree.finish(place.lowers);
        // What finish() changed is in the journal, which is written below up to the move.
        const auto changed_at = is_in_place ? LayerTree::Clock::now() : tree.written_at();
        sync_.wait_for(job.snapshotter, changed_at);
        if (!is_in_place) tree.move_to(place.upper);
    } catch (const Error& error) {
        if (!is_left_to_containerd(error)) throw;
        notice(store_.events(), job.image.name(),
               "unpacking layer " + job.blob().digest.short_form() + " again: " + error.message());
        return false;
    }
    if (!is_in_place) sync_metadata(place.upper.parent_path());
    count(&Counts::written);
    return true;
}

std::unique_ptr<ActiveSnapshot> Unpacker::prepare(const UnpackJob& job) const {
    const StageTimer timer(store_.times(), Stage::snapshots);
    return ActiveSnapshot::prepare(snapshots(job), job.chain_id(), job.parent(),
                                   active_labels(job));
}

void Unpacker::commit(const UnpackJob& job, ActiveSnapshot& snapshot) const {
    const StageTimer timer(store_.times(), Stage::snapshots);
    snapshot.commit(job.chain_id().str(), committed_labels(job));
}

UnpackOutcome Unpacker::build(const UnpackJob& job) {
    std::unique_ptr<ActiveSnapshot> snapshot = prepare(job);
    if (!snapshot) return UnpackOutcome::already_there;
    report(EventKind::unpacking, job, 0);
    // A staged snapshot has the layer already, and cannot be written.
    bool is_filled = containerd::is_staged(snapshot->mounts());
    if (!is_filled && may_write(job.snapshotter)) {
        const store::SnapshotDirectories place = place_in(job, *snapshot);
        if (place.obstacle.empty()) {
            is_filled = try_to_write(job, place);
            // What was written of the tree must not be there when containerd writes it.
            if (!is_filled) snapshot.reset();
        }
    }
    if (!is_filled) {
        if (!snapshot) snapshot = prepare(job);
        if (!snapshot) return UnpackOutcome::already_there;
        apply(job, *snapshot);
    }
    commit(job, *snapshot);
    return UnpackOutcome::unpacked;
}

/// Where the tree of the layer is written. If there is an obstacle, no other tree is written into
/// snapshots of this kind. The first one that is asked about must be empty.
store::SnapshotDirectories Unpacker::place_in(const UnpackJob& job,
                                              const ActiveSnapshot& snapshot) {
    store::SnapshotDirectories place = directories_for(snapshot.mounts(), job.layer > 0);
    if (place.obstacle.empty() && !is_proven(job.snapshotter)) {
        place.obstacle = snapshot.obstacle_in(place.upper);
        place.is_hidden = !place.obstacle.empty();
        const std::scoped_lock lock(mutex_);
        if (!place.is_hidden) proven_.insert(job.snapshotter);
    }
    if (place.is_hidden) sync_.distrust(job.snapshotter);
    if (!place.obstacle.empty()) leave_to_containerd(job, place.obstacle);
    return place;
}

bool Unpacker::is_proven(const std::string& snapshotter) const {
    const std::scoped_lock lock(mutex_);
    return proven_.contains(snapshotter);
}

/// False if containerd has to apply the layer, to another snapshot.
bool Unpacker::try_to_write(const UnpackJob& job, const store::SnapshotDirectories& place) {
    std::optional<oci::Digest> diff_id;
    try {
        LayerTree tree(place.upper, LayerTree::Place::snapshot, whiteouts_of(job));
        diff_id = write(tree, job, store_.connection().stop());
        tree.finish(place.lowers);
    } catch (const Error& error) {
        if (!is_left_to_containerd(error)) throw;
        leave_layer_to_containerd(job, error);
        return false;
    }
    require_diff_id(job, *diff_id);
    const StageTimer timer(store_.times(), Stage::syncing);
    sync_.wait_for(job.snapshotter, LayerTree::Clock::now());
    count(&Counts::written);
    return true;
}

void Unpacker::apply(const UnpackJob& job, const ActiveSnapshot& snapshot) {
    const StageTimer timer(store_.times(), Stage::applying);
    sync_.prepare_for(job.snapshotter);
    require_diff_id(job, applier_.apply(job.ns, job.blob(), snapshot.mounts()));
    sync_.wait_for(job.snapshotter, SnapshotSync::Clock::now());
    count(&Counts::applied);
}

void Unpacker::count(std::size_t Counts::*which) {
    const std::scoped_lock lock(mutex_);
    ++(counts_.*which);
}

Unpacker::Counts Unpacker::counts() const {
    const std::scoped_lock lock(mutex_);
    return counts_;
}

/// No tree is written by us into snapshots of this kind any more.
void Unpacker::leave_to_containerd(const UnpackJob& job, const std::string& why) {
    const std::scoped_lock lock(mutex_);
    if (counts_.obstacle.empty()) counts_.obstacle = why;
    left_to_containerd_.insert(job.snapshotter);
}

void Unpacker::leave_layer_to_containerd(const UnpackJob& job, const Error& error) {
    const std::string layer = "layer " + job.blob().digest.short_form();
    notice(store_.events(), job.image.name(),
           "prebake cannot unpack " + layer + " (" + error.message() + "); containerd does it");
    const std::scoped_lock lock(mutex_);
    if (counts_.obstacle.empty()) counts_.obstacle = layer + ": " + error.message();
}

bool Unpacker::may_write(const std::string& snapshotter) const {
    const std::scoped_lock lock(mutex_);
    return !is_blocked_ && !left_to_containerd_.contains(snapshotter);
}

}  // namespace prebake::bake
