#include "agent/bake/stored_image.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "agent/bake/record.h"
#include "agent/bake/resolution.h"
#include "agent/base/error.h"
#include "agent/containerd/containers.h"

namespace prebake::bake {
namespace {

/// Documents of the content store alone.
class StoredDocuments final : public DocumentSource {
  public:
    StoredDocuments(const containerd::Connection& connection, std::vector<std::string> namespaces,
                    std::string image, std::string next_step)
        : connection_(connection),
          namespaces_(std::move(namespaces)),
          image_(std::move(image)),
          next_step_(std::move(next_step)) {}

    Document manifest(const oci::Descriptor& descriptor) override {
        return document("manifest", descriptor, oci::kMaxManifestBytes);
    }
    Document config(const oci::Descriptor& descriptor) override {
        return document("config", descriptor, oci::kMaxConfigBytes);
    }

  private:
    Document document(const char* what, const oci::Descriptor& descriptor,
                      std::size_t limit) const {
        auto bytes = stored_bytes(connection_, namespaces_, descriptor, limit);
        if (bytes) return {.descriptor = descriptor, .bytes = *std::move(bytes)};
        throw Error(Errc::not_found,
                    std::string(what) + " " + descriptor.digest.str() + " of " + image_ +
                        " is not on this disk",
                    next_step_);
    }

    const containerd::Connection& connection_;
    std::vector<std::string> namespaces_;
    std::string image_;
    std::string next_step_;
};

oci::Descriptor descriptor_of(const v1::Document& document) {
    return {.media_type = document.media_type(),
            .digest = oci::Digest::parse(document.digest()),
            .size = document.size(),
            .annotations = {},
            .platform = {}};
}

void set_document(v1::Document& out, const oci::Descriptor& descriptor) {
    out.set_digest(descriptor.digest.str());
    out.set_media_type(descriptor.media_type);
    out.set_size(descriptor.size);
}

/// What the image was named beside `reference`. Names by digest come with those by tag.
std::vector<oci::Reference> aliases_in(const v1::Placement& placement,
                                       const oci::Reference& reference) {
    std::vector<oci::Reference> tagged;
    std::vector<oci::Reference> by_digest;
    for (const std::string& name : placement.names()) {
        if (name.starts_with("sha256:")) continue;  // CRI's name for the config
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

/// All placements in one.
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

ImageRequest request_of(const v1::BakedImage& image, const v1::Placement& placement) {
    const oci::Reference reference = oci::Reference::parse(image.name());
    return {.reference = reference,
            .platform = oci::Platform::parse(image.platform()),
            .namespaces = {placement.namespace_()},
            .aliases = aliases_in(placement, reference),
            .pin = placement.pinned(),
            .unpack = placement.unpacked(),
            .keep_layers = placement.layers_kept(),
            .origin = "bake record"};
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
    StoredDocuments documents(connection, std::move(namespaces), image.name(),
                              how_to_bake_again(image, request.namespaces.front()));
    return resolve_from(request, descriptor_of(image.target()), documents);
}

v1::BakedImage describe_stored(const containerd::Connection& connection, const std::string& ns,
                               const containerd::Image& image, const oci::Platform& platform) {
    const ImageRequest request{.reference = {},
                               .platform = platform,
                               .namespaces = {ns},
                               .aliases = {},
                               .origin = "containerd"};
    StoredDocuments documents(connection, {ns}, image.name, "pull it again");
    v1::BakedImage described = contents_of(resolve_from(request, image.target, documents));
    described.set_name(image.name);
    described.set_platform(platform.str());
    return described;
}

v1::BakedImage contents_of(const ResolvedImage& image) {
    v1::BakedImage contents;
    set_document(*contents.mutable_target(), image.target);
    for (const Document& index : image.indexes) {
        set_document(*contents.add_indexes(), index.descriptor);
    }
    set_document(*contents.mutable_manifest(), image.manifest.descriptor);
    set_document(*contents.mutable_config(), image.config.descriptor);
    for (std::size_t i = 0; i < image.contents.layers.size(); ++i) {
        const oci::Descriptor& descriptor = image.contents.layers[i];
        v1::Layer& layer = *contents.add_layers();
        layer.set_digest(descriptor.digest.str());
        layer.set_media_type(descriptor.media_type);
        layer.set_size(descriptor.size);
        if (image.chain_ids.empty()) continue;
        layer.set_diff_id(image.diff_ids[i].str());
        layer.set_chain_id(image.chain_ids[i].str());
    }
    if (!image.chain_ids.empty()) contents.set_chain_id(image.chain_ids.back().str());
    return contents;
}

}  // namespace prebake::bake
