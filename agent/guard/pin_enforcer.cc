#include "agent/guard/pin_enforcer.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <set>

#include "agent/base/error.h"
#include "agent/containerd/images.h"
#include "agent/containerd/introspection.h"
#include "agent/containerd/snapshots.h"
#include "agent/store/names.h"

namespace prebake::guard {
namespace {

constexpr const char* kSnapshotterType = "io.containerd.snapshotter.v1";

/// The directory of the snapshotter, or what is above it until it makes one; empty where
/// containerd's files are not visible from here.
std::filesystem::path directory_of(const std::vector<containerd::Plugin>& plugins,
                                   const std::string& snapshotter) {
    for (const containerd::Plugin& plugin : plugins) {
        if (plugin.type != kSnapshotterType || plugin.id != snapshotter) continue;
        const auto root = plugin.exports.find("root");
        if (root == plugin.exports.end()) continue;
        std::filesystem::path directory = root->second;
        std::error_code error;
        if (std::filesystem::exists(directory, error)) return directory;
        if (std::filesystem::exists(directory.parent_path(), error)) return directory.parent_path();
    }
    return {};
}

std::string snapshotter_in(const store::Snapshotters& snapshotters, const std::string& ns,
                           const v1::Placement& placement) {
    const auto found = snapshotters.find(ns);
    return found == snapshotters.end() ? placement.snapshotter() : found->second;
}

}  // namespace

bool PinEnforcer::has_limits() const {
    return limits_.max_pinned_bytes > 0 || limits_.min_free_bytes > 0 || limits_.min_free_ratio > 0;
}

std::optional<DiskRoom> PinEnforcer::disk_room(const std::string& snapshotter) {
    if (limits_.min_free_bytes == 0 && limits_.min_free_ratio <= 0) return {};
    if (!disk_) disk_ = directory_of(containerd::plugins(connection_), snapshotter);
    struct statvfs disk {};
    if (disk_->empty() || ::statvfs(disk_->c_str(), &disk) != 0) return {};
    return DiskRoom{.free_bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize,
                    .total_bytes = std::uint64_t{disk.f_blocks} * disk.f_frsize};
}

std::uint64_t PinEnforcer::layer_bytes(const std::string& ns, const std::string& snapshotter,
                                       const std::string& chain_id) {
    const std::string key = snapshotter + " " + chain_id;
    const auto known = layer_bytes_.find(key);
    if (known != layer_bytes_.end()) return known->second;
    try {
        const containerd::Snapshots snapshots(connection_, {.ns = ns, .lease = {}}, snapshotter);
        return layer_bytes_.emplace(key, snapshots.usage(chain_id).bytes).first->second;
    } catch (const Error& error) {
        if (containerd::ends_session(error)) throw;
        return 0;  // not there, and so no burden on the disk
    }
}

std::vector<PinChange> PinEnforcer::decide(const ProtectedImages& images,
                                           const store::Snapshotters& snapshotters,
                                           const UsageOf& usage) {
    const std::string ns(store::kCriNamespace);
    const auto effective = snapshotters.find(ns);
    const std::optional<DiskRoom> room =
        disk_room(effective == snapshotters.end() ? "overlayfs" : effective->second);
    // With nothing to decide between, measuring every layer is not worth the calls.
    if (images.unpinned().empty() && limits_.max_pinned_bytes == 0 &&
        decide_pins({PinCandidate{.ns = {}, .name = {}}}, limits_, room).front()) {
        return {};
    }

    std::vector<ImageKey> keys;
    std::vector<PinCandidate> candidates;
    const std::optional<ImageKey> sandbox = images.baked().sandbox_key();
    for (const store::PlacedImage& placed : images.baked().images()) {
        const ImageKey& key = placed.key;
        const v1::Placement& placement = placed.placement;
        if (key.ns != ns || !placement.pinned() || images.evicted().contains(key)) continue;
        const Usage used = usage(key);
        PinCandidate candidate{.ns = key.ns,
                               .name = key.image,
                               .starts = used.starts,
                               .last_used = used.last_used,
                               .is_pinned = !images.unpinned().contains(key),
                               .is_sandbox = sandbox == key};
        const std::string snapshotter = snapshotter_in(snapshotters, ns, placement);
        for (const v1::Layer& layer : placed.image.layers()) {
            if (placement.unpacked()) {
                candidate.parts.push_back(
                    {.id = "snapshot " + layer.chain_id(),
                     .bytes = layer_bytes(ns, snapshotter, layer.chain_id())});
            }
            if (placement.layers_kept()) {
                candidate.parts.push_back({.id = "blob " + layer.digest(), .bytes = layer.size()});
            }
        }
        keys.push_back(key);
        candidates.push_back(std::move(candidate));
    }

    const std::vector<bool> pins = decide_pins(candidates, limits_, room);
    std::vector<PinChange> changes;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (pins[i] == candidates[i].is_pinned) continue;
        changes.push_back({.key = keys[i], .is_pinned = pins[i]});
    }
    return changes;
}

void PinEnforcer::apply(const PinChange& change, const ProtectedImages& images) const {
    const containerd::Images store(connection_, {.ns = change.key.ns, .lease = {}});
    const store::NameSet still_pinned = images.pinned_names();
    const std::string target = images.baked().target_of(change.key);
    for (const std::string& name : images.baked().names_of(change.key)) {
        if (!change.is_pinned && still_pinned.contains({change.key.ns, name})) continue;
        const auto held = store.get(name);
        if (!held || held->target.digest.str() != target) continue;
        store.set_labels(
            name,
            store::name_labels(change.key.ns, change.is_pinned ? store::Pin::yes : store::Pin::no));
    }
}

}  // namespace prebake::guard
