#include "agent/cli/baked_list.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "agent/store/names.h"

namespace prebake::cli {
namespace {

/// Image, namespace, platform and digest: a tag that was moved counts for another image.
using Place = std::tuple<std::string, std::string, std::string, std::string>;

/// Each blob once: indexes, manifest, config, layers.
std::uint64_t bytes_of(const v1::BakedImage& image) {
    std::map<std::string, std::uint64_t> blobs;
    for (const v1::Document& index : image.indexes()) blobs[index.digest()] = index.size();
    blobs[image.manifest().digest()] = image.manifest().size();
    blobs[image.config().digest()] = image.config().size();
    for (const v1::Layer& layer : image.layers()) blobs[layer.digest()] = layer.size();
    std::uint64_t bytes = 0;
    for (const auto& [digest, size] : blobs) bytes += size;
    return bytes;
}

}  // namespace

v1::BakedImages baked_list(const v1::BakeRecord& record, const v1::NodeImages& daemon,
                           const v1::Ledger& counted) {
    std::map<Place, const v1::ImageState*> states;
    for (const v1::ImageState& state : daemon.images()) {
        states[{state.name(), state.namespace_(), state.platform(), state.digest()}] = &state;
    }
    std::map<Place, std::uint64_t> starts;
    for (const v1::LedgerImage& image : counted.images()) {
        starts[{image.name(), image.namespace_(), image.platform(), image.digest()}] +=
            image.starts();
    }
    v1::BakedImages list;
    list.set_schema("prebake.v1.BakedImages");
    for (const v1::BakedImage& image : record.images()) {
        v1::ListedImage& listed = *list.add_images();
        listed.set_name(image.name());
        listed.set_digest(image.target().digest());
        listed.set_platform(image.platform());
        listed.set_kind(image.kind());
        listed.set_bytes(bytes_of(image));
        bool is_pinned = true;
        for (const v1::Placement& placement : image.placements()) {
            const Place place{image.name(), placement.namespace_(), image.platform(),
                              image.target().digest()};
            const auto state = states.find(place);
            const bool is_known = state != states.end();
            listed.add_namespaces(placement.namespace_());
            // Only the kubelet deletes images by itself: other namespaces have no pins.
            if (placement.namespace_() == store::kCriNamespace) {
                is_pinned = is_pinned && (is_known ? state->second->pinned() : placement.pinned());
                listed.set_pinned(is_pinned);
            }
            listed.set_starts(listed.starts() +
                              (is_known ? state->second->starts() : starts[place]));
        }
    }
    return list;
}

}  // namespace prebake::cli
