#include "agent/bake/plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace prebake::bake {
namespace {

/// Compressed layers unpack to about this many times their size: gzip layers of common images
/// measure between 1.8 and 3.6.
constexpr double kTypicalExpansion = 2.5;

double expansion_of(const oci::Descriptor& layer) {
    return oci::media_kind(layer.media_type) == oci::MediaKind::layer_tar ? 1.0 : kTypicalExpansion;
}

/// Sums over the images, each blob and each snapshot counted once.
class Totals {
  public:
    Totals(Plan& plan, const PresentContent& present) : plan_(plan), present_(present) {}

    void add(PlannedImage& planned) {
        const ResolvedImage& image = *planned.image;
        if (!image.request.namespaces.empty()) add_to_containerd(planned);
        if (image.request.in_graph_driver) add_to_engine(planned);
    }

    void add_up() {
        for (const auto& [digest, blob] : blobs_) {
            if (blob.is_layer) {
                plan_.layers.push_back(
                    {.id = digest.str(), .bytes = blob.bytes, .is_done = blob.is_there});
            }
            if (blob.is_there) {
                plan_.bytes_present += blob.bytes;
            } else {
                plan_.bytes_to_fetch += blob.bytes;
                plan_.estimated_disk_bytes += blob.bytes;
            }
        }
    }

  private:
    struct Blob {
        std::uint64_t bytes = 0;
        bool is_there = true;
        bool is_layer = false;
    };

    void add_to_containerd(PlannedImage& planned) {
        const ResolvedImage& image = *planned.image;
        for (const oci::Document& index : image.indexes) add_blob(planned, index.descriptor, true);
        add_blob(planned, image.manifest.descriptor, true);
        add_blob(planned, image.config.descriptor, true);
        const std::vector<std::size_t> needed = layers_needed(image, present_);
        for (std::size_t i = 0; i < image.contents.layers.size(); ++i) {
            const bool is_needed = std::find(needed.begin(), needed.end(), i) != needed.end();
            add_blob(planned, image.contents.layers[i], is_needed).is_layer = true;
        }
        planned.unpacked =
            image.chain_ids.empty() || present_.has_snapshot(image.request, image.chain_ids.back());
        add_snapshots(image);
    }

    /// dockerd keeps the layers unpacked, and the config, and nothing else.
    void add_to_engine(PlannedImage& planned) {
        const ResolvedImage& image = *planned.image;
        const bool is_there = present_.has_in_engine(image.request);
        const bool is_only_there = image.request.namespaces.empty();
        for (const oci::Descriptor& layer : image.contents.layers) {
            if (is_only_there) {
                planned.compressed_bytes += layer.size;
                if (is_there) planned.bytes_present += layer.size;
            }
            if (!engine_layers_.insert(layer.digest).second) continue;
            plan_.layers.push_back(
                {.id = layer.digest.str(), .bytes = layer.size, .is_done = is_there});
            if (is_there) {
                plan_.bytes_present += layer.size;
                continue;
            }
            plan_.bytes_to_fetch += layer.size;
            plan_.engine_bytes += layer.size;
            plan_.estimated_disk_bytes +=
                static_cast<std::uint64_t>(static_cast<double>(layer.size) * expansion_of(layer));
        }
        planned.unpacked = is_there && (is_only_there || planned.unpacked);
    }

    Blob& add_blob(PlannedImage& planned, const oci::Descriptor& descriptor, bool is_needed) {
        const bool is_there = !is_needed || present_.has_blob(planned.request, descriptor.digest);
        planned.compressed_bytes += descriptor.size;
        if (is_there) planned.bytes_present += descriptor.size;
        Blob& blob = blobs_[descriptor.digest];
        blob.bytes = descriptor.size;
        // One image may have it, or not need it, and another one may have to fetch it.
        blob.is_there = blob.is_there && is_there;
        return blob;
    }

    void add_snapshots(const ResolvedImage& image) {
        for (const std::string& ns : image.request.namespaces) {
            for (std::size_t i = 0; i < image.chain_ids.size(); ++i) {
                const std::pair snapshot{ns, image.chain_ids[i]};
                if (!counted_snapshots_.insert(snapshot).second) continue;
                const oci::Descriptor& layer = image.contents.layers[i];
                const bool is_there = present_.snapshots.contains(snapshot);
                plan_.snapshots.push_back({.id = snapshot_id(ns, image.chain_ids[i]),
                                           .bytes = layer.size,
                                           .is_done = is_there});
                if (is_there) continue;
                plan_.estimated_disk_bytes += static_cast<std::uint64_t>(
                    static_cast<double>(layer.size) * expansion_of(layer));
                // Layers may unpack to any size, but not to less.
                plan_.least_snapshot_bytes += layer.size;
            }
        }
    }

    Plan& plan_;
    const PresentContent& present_;
    std::map<oci::Digest, Blob> blobs_;
    std::set<std::pair<std::string, oci::Digest>> counted_snapshots_;
    std::set<oci::Digest> engine_layers_;
};

}  // namespace

std::vector<std::size_t> layers_needed(const ResolvedImage& image, const PresentContent& present) {
    std::vector<std::size_t> needed;
    for (std::size_t i = 0; i < image.contents.layers.size(); ++i) {
        const bool only_for_unpacking = image.request.unpack && !image.request.keep_layers;
        if (only_for_unpacking && present.has_snapshot(image.request, image.chain_ids[i])) continue;
        needed.push_back(i);
    }
    return needed;
}

Plan make_plan(std::vector<PlannedImage> images, const PresentContent& present) {
    Plan plan;
    plan.images = std::move(images);
    Totals totals(plan, present);
    for (PlannedImage& planned : plan.images) {
        if (planned.image) totals.add(planned);
    }
    totals.add_up();
    return plan;
}

}  // namespace prebake::bake
