#include "agent/bake/plan.h"

#include <algorithm>
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
        for (const oci::Document& index : image.indexes) add_blob(planned, index.descriptor, true);
        add_blob(planned, image.manifest.descriptor, true);
        add_blob(planned, image.config.descriptor, true);
        const std::vector<std::size_t> needed = layers_needed(image, present_);
        for (std::size_t i = 0; i < image.contents.layers.size(); ++i) {
            const bool is_needed = std::find(needed.begin(), needed.end(), i) != needed.end();
            add_blob(planned, image.contents.layers[i], is_needed);
        }
        planned.unpacked =
            image.chain_ids.empty() || present_.has_snapshot(image.request, image.chain_ids.back());
        add_snapshots(image);
    }

  private:
    void add_blob(PlannedImage& planned, const oci::Descriptor& blob, bool is_needed) {
        const bool is_there = !is_needed || present_.has_blob(planned.request, blob.digest);
        planned.compressed_bytes += blob.size;
        if (is_there) planned.bytes_present += blob.size;
        if (!counted_blobs_.insert(blob.digest).second) return;
        if (is_there) {
            plan_.bytes_present += blob.size;
        } else {
            plan_.bytes_to_fetch += blob.size;
            plan_.estimated_disk_bytes += blob.size;
        }
    }

    void add_snapshots(const ResolvedImage& image) {
        for (const std::string& ns : image.request.namespaces) {
            for (std::size_t i = 0; i < image.chain_ids.size(); ++i) {
                const std::pair snapshot{ns, image.chain_ids[i]};
                if (present_.snapshots.contains(snapshot)) continue;
                if (!counted_snapshots_.insert(snapshot).second) continue;
                const oci::Descriptor& layer = image.contents.layers[i];
                plan_.estimated_disk_bytes += static_cast<std::uint64_t>(
                    static_cast<double>(layer.size) * expansion_of(layer));
                // Layers may unpack to any size, but not to less.
                plan_.least_snapshot_bytes += layer.size;
            }
        }
    }

    Plan& plan_;
    const PresentContent& present_;
    std::set<oci::Digest> counted_blobs_;
    std::set<std::pair<std::string, oci::Digest>> counted_snapshots_;
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
    return plan;
}

}  // namespace prebake::bake
