#include "agent/guard/pin_enforcer.h"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "agent/store/names.h"
#include "agent/store/placements.h"

namespace prebake::guard {
namespace {

std::string snapshotter_in(const store::Snapshotters& snapshotters, const std::string& ns,
                           const v1::Placement& placement) {
    const auto found = snapshotters.find(ns);
    return found == snapshotters.end() ? placement.snapshotter() : found->second;
}

}  // namespace

bool PinEnforcer::has_limits() const {
    return limits_.max_pinned_bytes > 0 || limits_.min_free_bytes > 0 || limits_.min_free_ratio > 0;
}

std::vector<PinChange> PinEnforcer::decide(const ProtectedImages& images,
                                           const store::Snapshotters& snapshotters,
                                           const UsageOf& usage) {
    const std::string ns(store::kCriNamespace);
    std::optional<DiskRoom> room;
    if (limits_.min_free_bytes > 0 || limits_.min_free_ratio > 0) {
        const auto effective = snapshotters.find(ns);
        room = disk_.room(effective == snapshotters.end() ? "overlayfs" : effective->second);
    }
    is_below_floor_ = guard::is_below_floor(limits_, room, is_below_floor_);
    // If no pin has to change, measuring every layer is not worth the calls.
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
        if (store::is_in_graph_driver(placement) || images.removed().contains(key)) continue;
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
                     .bytes = disk_.layer_bytes(ns, snapshotter, layer.chain_id())});
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

void PinEnforcer::apply(const PinChange& change, const ProtectedImages& images) {
    const store::NameSet still_pinned = images.pinned_names();
    const std::string target = images.baked().target_of(change.key);
    const store::Pin pin = change.is_pinned ? store::Pin::yes : store::Pin::no;
    for (const std::string& name : images.baked().names_of(change.key)) {
        if (!change.is_pinned && still_pinned.contains({change.key.ns, name})) continue;
        const auto held = names_.get(change.key.ns, name);
        // CRI may let a name by image ID point at another manifest of the same image.
        if (!held || (held->target.digest.str() != target && !store::is_image_id(name))) continue;
        names_.set_labels(change.key.ns, name, store::name_labels(change.key.ns, pin));
    }
}

}  // namespace prebake::guard
