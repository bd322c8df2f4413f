#include "agent/bake/resolve.h"

#include "agent/bake/registry_documents.h"
#include "agent/containerd/images.h"
#include "agent/store/names.h"

namespace prebake::bake {

std::string name_of(const ImageRequest& request) {
    return request.reference.tag_name().value_or(request.reference.str());
}

std::optional<oci::Descriptor> held_target(const ImageRequest& request,
                                           const containerd::Connection& connection) {
    const containerd::Images images(connection,
                                    {.ns = std::string(store::kCriNamespace), .lease = {}});
    const auto held = images.get(name_of(request));
    return held ? std::optional(held->target) : std::nullopt;
}

std::string ResolvedImage::name() const {
    return name_of(request);
}

std::vector<std::string> names_in(const std::string& ns, const ResolvedImage& image) {
    std::vector<std::string> names = store::names_in(
        ns, image.request.references(), image.target.digest, image.config.descriptor.digest);
    // Many artifacts have the same, empty config.
    if (image.request.kind == ImageKind::artifact) std::erase_if(names, store::is_image_id);
    return names;
}

std::vector<oci::Digest> blobs_of(const ResolvedImage& image) {
    std::vector<oci::Digest> blobs;
    for (const oci::Document& index : image.indexes) blobs.push_back(index.descriptor.digest);
    blobs.push_back(image.manifest.descriptor.digest);
    blobs.push_back(image.config.descriptor.digest);
    for (const oci::Descriptor& layer : image.contents.layers) blobs.push_back(layer.digest);
    for (const trust::Proof& proof : image.proofs) {
        blobs.push_back(proof.manifest.descriptor.digest);
        blobs.push_back(proof.blob.descriptor.digest);
    }
    return blobs;
}

ResolvedImage resolve_from(const ImageRequest& request, const oci::Descriptor& target,
                           oci::DocumentSource& source) {
    auto use = request.unpack ? oci::ImageUse::unpack : oci::ImageUse::store;
    if (request.kind == ImageKind::artifact) use = oci::ImageUse::artifact;
    return {oci::resolve_image(target, *request.platform, use, source), request};
}

ResolvedImage resolve(const ImageRequest& request, registry::Remote& remote,
                      const containerd::Connection& connection, DocumentCache& cache) {
    std::optional<oci::Descriptor> held;
    if (request.is_sandbox) held = held_target(request, connection);
    RegistryDocuments documents(request, remote, connection, cache);
    return resolve_from(request, held ? *held : documents.target(), documents);
}

}  // namespace prebake::bake
