#include "agent/bake/recorded_image.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "agent/bake/admission.h"
#include "agent/base/error.h"
#include "agent/containerd/containers.h"
#include "agent/store/names.h"
#include "agent/store/placements.h"
#include "agent/store/record.h"
#include "agent/store/stored_image.h"

namespace prebake::bake {
namespace {

/// The names of the image besides `reference`. A name by digest is left out if a name by tag of the
/// same repository implies it.
std::vector<oci::Reference> aliases_in(const v1::Placement& placement,
                                       const oci::Reference& reference) {
    std::vector<oci::Reference> tagged;
    std::vector<oci::Reference> by_digest;
    for (const std::string& name : placement.names()) {
        if (store::is_image_id(name)) continue;  // CRI's name for the config
        oci::Reference named = oci::Reference::parse(name);
        if (named.tag_name() && named.tag_name() == reference.tag_name()) continue;
        (named.tag ? tagged : by_digest).push_back(std::move(named));
    }
    std::vector<oci::Reference> aliases = std::move(tagged);
    for (oci::Reference& named : by_digest) {
        const auto has_name = [&](const oci::Reference& other) {
            return other.name() == named.name();
        };
        if (has_name(reference) || std::any_of(aliases.begin(), aliases.end(), has_name)) continue;
        aliases.push_back(std::move(named));
    }
    return aliases;
}

ImageKind kind_of(v1::BakedImage::Kind kind) {
    if (kind == v1::BakedImage::ARTIFACT) return ImageKind::artifact;
    if (kind == v1::BakedImage::VOLUME) return ImageKind::volume;
    return ImageKind::image;  // also for what a newer prebake may write
}

/// One request for all placements.
ImageRequest merged_request(const v1::BakedImage& image) {
    std::vector<ImageRequest> requests;
    for (const v1::Placement& placement : image.placements()) {
        requests.push_back(request_of(image, placement));
    }
    if (requests.empty()) {
        throw Error(Errc::corrupt, "the bake record has no namespace for " + image.name(),
                    "bake it again");
    }
    return merge_requests(requests).front();
}

}  // namespace

v1::BakedImage::Kind recorded_kind(ImageKind kind) {
    switch (kind) {
        case ImageKind::image:
            return v1::BakedImage::IMAGE;
        case ImageKind::artifact:
            return v1::BakedImage::ARTIFACT;
        case ImageKind::volume:
            return v1::BakedImage::VOLUME;
    }
    return v1::BakedImage::IMAGE;
}

ImageRequest request_of(const v1::BakedImage& image, const v1::Placement& placement) {
    const oci::Reference reference = oci::Reference::parse(image.name());
    const bool in_graph_driver = store::is_in_graph_driver(placement);
    return {.reference = reference,
            .platform = oci::Platform::parse(image.platform()),
            .namespaces =
                in_graph_driver ? std::vector<std::string>() : std::vector{placement.namespace_()},
            .aliases = aliases_in(placement, reference),
            .pin = placement.pinned(),
            .unpack = placement.unpacked(),
            .keep_layers = placement.layers_kept(),
            .kind = kind_of(image.kind()),
            .origin = "bake record",
            // Into the store that it was baked into, whatever moby is by now.
            .runtime = in_graph_driver ? Runtime::docker : Runtime::containerd,
            .priority = image.priority(),
            .in_graph_driver = in_graph_driver};
}

ResolvedImage resolve_stored(const v1::BakedImage& image,
                             const containerd::Connection& connection) {
    const ImageRequest request = merged_request(image);
    std::vector<std::string> namespaces = request.namespaces;
    for (std::string& ns : containerd::namespaces(connection)) {
        if (std::find(namespaces.begin(), namespaces.end(), ns) == namespaces.end()) {
            namespaces.push_back(std::move(ns));
        }
    }
    store::StoredDocuments documents(connection, namespaces, image.name(),
                                     store::how_to_bake_again(image, request.namespaces.front()));
    ResolvedImage resolved = resolve_from(request, store::descriptor_of(image.target()), documents);
    resolved.proofs = stored_proofs(image, connection, namespaces);
    return resolved;
}

}  // namespace prebake::bake
