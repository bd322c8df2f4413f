#include "agent/hydrate/boot_recorder.h"

#include <set>
#include <utility>

#include "agent/base/error.h"
#include "agent/hydrate/file_system.h"
#include "agent/hydrate/layer_cache.h"
#include "agent/hydrate/trace_check.h"
#include "agent/hydrate/traced_file.h"
#include "agent/hydrate/traced_image.h"
#include "agent/store/placements.h"
#include "agent/store/snapshot_directories.h"
#include "agent/store/snapshot_view.h"

namespace prebake::hydrate {
namespace {

/// The placement of an image whose files containerd has unpacked; null if there is none.
const v1::Placement* unpacked_placement(const v1::BakedImage& image) {
    for (const v1::Placement& placement : image.placements()) {
        if (!placement.snapshotter().empty() && !store::is_in_graph_driver(placement)) {
            return &placement;
        }
    }
    return nullptr;
}

/// Adds the directories of the image's layers. Throws Error.
void add_directories(const containerd::Connection& connection, const v1::BakedImage& image,
                     const v1::Placement& placement, std::vector<LayerDirectory>& directories) {
    const store::SnapshotView view(connection, placement.namespace_(), placement.snapshotter(),
                                   image.chain_id());
    const auto layers = static_cast<std::size_t>(image.layers_size());
    const auto found = store::viewed_directories_of(view.mounts(), layers);
    if (!found.obstacle.empty()) throw Error(Errc::unsupported, found.obstacle);
    for (LayerDirectory& layer : layer_directories(image, found.lowers)) {
        directories.push_back(std::move(layer));
    }
}

}  // namespace

void add_volumes(const SectorsRead& read, BootRecording& recording) {
    FileSystems file_systems(Detail::identity);
    std::set<std::string> known;
    for (const Mount& mount : file_systems.mounts()) {
        const FileSystem* found = file_systems.find(mount.number);
        if (found == nullptr || !known.insert(found->superblock.uuid).second) continue;
        const auto area = area_of(found->number);
        if (!area) {
            recording.warnings.push_back("what is read of " + found->device.string() +
                                         " does not show: it is not a disk or a partition");
            continue;
        }
        const ChunkSet chunks = chunks_in(read, *area);
        if (chunks.empty()) continue;
        v1::TracedVolume& volume = *recording.trace.add_volumes();
        volume.set_uuid(found->superblock.uuid);
        set_chunks(chunks, volume);
        recording.chunks += chunks.count();
    }
}

void add_cached_layers(const containerd::Connection& connection, const v1::BakeRecord& record,
                       double seconds, BootRecording& recording) {
    std::vector<LayerDirectory> directories;
    for (const v1::BakedImage& image : record.images()) {
        const v1::Placement* placement = unpacked_placement(image);
        if (placement == nullptr || image.chain_id().empty()) continue;
        try {
            add_directories(connection, image, *placement, directories);
            add_traced_image(image, seconds, recording.trace);
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            recording.warnings.push_back("what was read of " + image.name() +
                                         " is not known: " + error.message());
        }
    }
    LayerCache cache(directories, residency_method(), connection.stop());
    cache.look(seconds);
    const v1::ReadTrace found = cache.result();
    *recording.trace.mutable_layers() = found.layers();
    recording.trace.set_omitted_files(found.omitted_files());
}

}  // namespace prebake::hydrate
