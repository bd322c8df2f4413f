#include "agent/bake/restore_plan.h"

#include <optional>

#include "agent/bake/plan.h"
#include "agent/bake/recorded_image.h"
#include "agent/base/error.h"
#include "agent/containerd/connection.h"
#include "agent/store/record.h"

namespace prebake::bake {
namespace {

void restore_part(const v1::BakedImage& image, RestorePart& part,
                  const std::function<void(const ResolvedImage&)>& restore) {
    if (part.is_usable) {
        // Unpacked layers can be used without their blobs.
        if (!part.lost_layers.empty()) part.image.request.keep_layers = false;
        restore(part.image);
    }
    if (part.lost_layers.empty()) return;
    throw Error(
        Errc::not_found,
        "layer " + part.lost_layers.front().str() + " of " + image.name() + " is not on this disk",
        store::how_to_bake_again(image, part.image.request.namespaces.front()));
}

}  // namespace

std::vector<RestorePart> parts_of(const v1::BakedImage& image, const ResolvedImage& resolved) {
    std::vector<RestorePart> parts;
    for (const v1::Placement& placement : image.placements()) {
        RestorePart& part = parts.emplace_back(RestorePart{.image = resolved});
        part.image.request = request_of(image, placement);
        if (part.image.request.unpack) continue;
        part.image.diff_ids.clear();
        part.image.chain_ids.clear();
    }
    return parts;
}

void find_lost_layers(RestorePart& part, const PresentContent& present,
                      const std::function<bool(const oci::Digest&)>& is_on_disk) {
    const ImageRequest& request = part.image.request;
    for (const std::size_t i : layers_needed(part.image, present)) {
        const oci::Digest& layer = part.image.contents.layers[i].digest;
        if (present.has_blob(request, layer) || is_on_disk(layer)) continue;
        part.lost_layers.push_back(layer);
        if (request.unpack && present.has_snapshot(request, part.image.chain_ids[i])) continue;
        part.is_usable = false;
    }
}

void restore_parts(const v1::BakedImage& image, std::vector<RestorePart>& parts,
                   const std::function<void(const ResolvedImage&)>& restore) {
    std::optional<Error> problem;
    for (RestorePart& part : parts) {
        try {
            restore_part(image, part, restore);
        } catch (const Error& error) {
            if (containerd::ends_session(error)) throw;
            if (!problem) problem = error;
        }
    }
    if (problem) throw Error(*problem);
}

}  // namespace prebake::bake
