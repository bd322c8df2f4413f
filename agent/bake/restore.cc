#include "agent/bake/restore.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <vector>

#include "agent/bake/blob_repositories.h"
#include "agent/bake/fetch.h"
#include "agent/bake/image_baker.h"
#include "agent/bake/layer_source.h"
#include "agent/bake/lease.h"
#include "agent/bake/leased_store.h"
#include "agent/bake/present_content.h"
#include "agent/bake/recorded_image.h"
#include "agent/bake/restore_plan.h"
#include "agent/bake/unpack.h"
#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/worker_pool.h"
#include "agent/containerd/containers.h"
#include "agent/store/names.h"
#include "agent/store/store_view.h"

namespace prebake::bake {
namespace {

/// Nothing comes over a network: these adopt blobs, and copy them where containerd does not share.
constexpr std::size_t kParallelCopies = 2;

/// The daemon leaves processors to the containers that start meanwhile.
constexpr std::size_t kParallelUnpacks = 2;

/// For CRI to know an image. The daemon does nothing else meanwhile, and tries again later.
constexpr std::chrono::milliseconds kRepairPatience{3000};

/// The snapshotter of each namespace to unpack in: the wanted one, else the recorded one.
store::Snapshotters choose_snapshotters(const v1::BakedImage& image,
                                        const store::Snapshotters& wanted,
                                        const store::Storage& storage) {
    store::Snapshotters snapshotters = wanted;
    for (const v1::Placement& placement : image.placements()) {
        if (!placement.unpacked()) continue;
        const auto entry =
            snapshotters.try_emplace(placement.namespace_(), placement.snapshotter()).first;
        storage.require_snapshotter(entry->second);
    }
    return snapshotters;
}

/// Its leases are not those of a bake: what an interrupted bake left stays, to be resumed.
std::string lease_owner(const std::filesystem::path& state_dir) {
    std::error_code failed;
    const std::filesystem::path canonical = std::filesystem::weakly_canonical(state_dir, failed);
    return (failed ? state_dir : canonical).string() + " (restore)";
}

/// Its names by image ID. Other images of the record may have them, too.
store::NameSet ids_of(const v1::BakedImage& image) {
    store::NameSet ids;
    for (const v1::Placement& placement : image.placements()) {
        for (const std::string& name : placement.names()) {
            if (store::is_image_id(name)) ids.emplace(placement.namespace_(), name);
        }
    }
    return ids;
}

/// Who unpacked the layers: that containerd does it, which takes longer, is not to be a surprise.
void note_unpacked(const Unpacker::Counts& counts, const std::string& image, EventSink& events) {
    if (counts.written > 0)
        notice(events, image, counted(counts.written, "layer") + " unpacked by prebake");
    if (counts.applied == 0) return;
    notice(events, image,
           counted(counts.applied, "layer") + " unpacked by containerd" +
               (counts.obstacle.empty() ? "" : ": " + counts.obstacle));
}

}  // namespace

Restoration restore(const BakeLock&, const v1::BakedImage& image,
                    const store::Snapshotters& snapshotters, const store::NameSet& pinned,
                    const std::filesystem::path& state_dir,
                    const containerd::Connection& connection, EventSink& events) {
    std::vector<RestorePart> parts = parts_of(image, resolve_stored(image, connection));
    store::StoreView held(connection);
    const store::Snapshotters chosen = choose_snapshotters(image, snapshotters, held.storage());
    const std::vector<std::string> everywhere = containerd::namespaces(connection);
    const auto is_on_disk = [&](const oci::Digest& digest) {
        return std::any_of(everywhere.begin(), everywhere.end(), [&](const std::string& ns) {
            const store::Holdings& holdings = holdings_of(ns, chosen, held);
            const auto blob = holdings.blobs.find(digest.str());
            return blob != holdings.blobs.end() && held.is_readable(ns, blob->second);
        });
    };
    PresentContent present;
    BlobRepositories repositories;
    std::set<std::string> namespaces;
    for (RestorePart& part : parts) {
        look_up(part.image, chosen, held, present);
        find_lost_layers(part, present, is_on_disk);
        add_repository(repositories, part.image);
        namespaces.insert(part.image.request.namespaces.front());
    }

    const std::string owner = lease_owner(state_dir);
    remove_unfinished_trees(connection, {namespaces.begin(), namespaces.end()}, owner);
    const BakeLease lease(connection, {namespaces.begin(), namespaces.end()}, owner);
    const LeasedStore store(connection, held.storage(), events, lease.id(), OnRestart::fail);
    NoOtherLayers no_other_layers;
    BlobFetcher fetcher(store, no_other_layers, events, repositories, everywhere);
    DiffServiceApplier applier(store);
    WorkerPool unpacks(kParallelUnpacks);
    Unpacker unpacker(store, fetcher, applier, unpacks, kParallelUnpacks,
                      obstacle_to_writing_trees());
    WorkerPool copies(kParallelCopies);
    const store::NameSet ids = ids_of(image);
    ImageBaker baker(store,
                     {.snapshotters = chosen,
                      .present = present,
                      .repositories = repositories,
                      .pinned = pinned,
                      .shared_ids = ids,
                      .moved_names = MovedNames::leave,
                      .cri_patience = kRepairPatience},
                     copies, fetcher, unpacker);
    ImageChanges changes;
    const auto end = [&] {
        const std::optional<std::string> obstacle = store.in_place_obstacle();
        if (fetcher.streamed() > 0 && obstacle) {
            notice(events, image.name(), "layers were streamed through containerd: " + *obstacle);
        }
        note_unpacked(unpacker.counts(), image.name(), events);
        lease.release_or_tell(containerd::Collection::later, "the repair", image.name(), events);
    };
    try {
        restore_parts(image, parts, [&](const ResolvedImage& part) { baker.bake(part, changes); });
    } catch (const Error&) {
        end();
        throw;
    }
    end();
    return changes.changed || fetcher.has_changed() ? Restoration::restored
                                                    : Restoration::was_whole;
}

}  // namespace prebake::bake
