#include "agent/store/stored_image.h"

#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/content.h"

namespace prebake::store {

void set_document(v1::Document& out, const oci::Descriptor& descriptor) {
    out.set_digest(descriptor.digest.str());
    out.set_media_type(descriptor.media_type);
    out.set_size(descriptor.size);
}

oci::Descriptor descriptor_of(const v1::Document& document) {
    return {.media_type = document.media_type(),
            .digest = oci::Digest::parse(document.digest()),
            .size = document.size(),
            .annotations = {},
            .platform = {}};
}

std::optional<std::string> stored_bytes(const containerd::Connection& connection,
                                        const std::vector<std::string>& namespaces,
                                        const oci::Descriptor& descriptor, std::size_t limit) {
    for (const std::string& ns : namespaces) {
        const containerd::Content content(connection, {.ns = ns, .lease = {}});
        const auto info = content.info(descriptor.digest);
        if (!info || !content.is_readable(*info)) continue;
        std::string bytes = content.read_all(descriptor.digest, limit);
        if (oci::Digest::of(bytes) == descriptor.digest) return bytes;
        throw Error(Errc::corrupt,
                    "blob " + descriptor.digest.str() +
                        " is damaged in containerd's store "
                        "(namespace " +
                        ns + ")",
                    "bake the image again, which replaces it");
    }
    return std::nullopt;
}

StoredDocuments::StoredDocuments(const containerd::Connection& connection,
                                 std::vector<std::string> namespaces, std::string image,
                                 std::string next_step)
    : connection_(connection),
      namespaces_(std::move(namespaces)),
      image_(std::move(image)),
      next_step_(std::move(next_step)) {}

oci::Document StoredDocuments::manifest(const oci::Descriptor& descriptor) {
    return document("manifest", descriptor, oci::kMaxManifestBytes);
}

oci::Document StoredDocuments::config(const oci::Descriptor& descriptor) {
    return document("config", descriptor, oci::kMaxConfigBytes);
}

oci::Document StoredDocuments::document(const char* what, const oci::Descriptor& descriptor,
                                        std::size_t limit) const {
    auto bytes = stored_bytes(connection_, namespaces_, descriptor, limit);
    if (bytes) return {.descriptor = descriptor, .bytes = *std::move(bytes)};
    throw Error(Errc::not_found,
                std::string(what) + " " + descriptor.digest.str() + " of " + image_ +
                    " is not on this disk",
                next_step_);
}

v1::BakedImage describe_stored(const containerd::Connection& connection, const std::string& ns,
                               const containerd::Image& image, const oci::Platform& platform) {
    StoredDocuments documents(connection, {ns}, image.name, "pull it again");
    v1::BakedImage described =
        contents_of(oci::resolve_image(image.target, platform, oci::ImageUse::unpack, documents));
    described.set_name(image.name);
    described.set_platform(platform.str());
    return described;
}

bool leads_to_config(const containerd::Connection& connection, const std::string& ns,
                     const oci::Descriptor& target, const oci::Platform& platform,
                     const oci::Digest& config) {
    StoredDocuments documents(connection, {ns}, target.digest.str(), {});
    try {
        const oci::Image image =
            oci::resolve_image(target, platform, oci::ImageUse::store, documents);
        return image.config.descriptor.digest == config;
    } catch (const Error& error) {
        if (containerd::ends_session(error) || is_retryable(error.code())) throw;
        return false;
    }
}

v1::BakedImage contents_of(const oci::Image& image) {
    v1::BakedImage contents;
    set_document(*contents.mutable_target(), image.target);
    for (const oci::Document& index : image.indexes) {
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

}  // namespace prebake::store
