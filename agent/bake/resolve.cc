#include "agent/bake/resolve.h"

#include <functional>
#include <optional>
#include <utility>

#include "agent/containerd/images.h"
#include "agent/store/names.h"
#include "agent/store/stored_image.h"

namespace prebake::bake {
namespace {

/// Whether the document can be read as what its media type says.
bool is_of_its_kind(const oci::Document& document) {
    const std::string& type = document.descriptor.media_type;
    try {
        if (oci::media_kind(type) == oci::MediaKind::index) {
            oci::parse_index(type, document.bytes);
        } else {
            oci::parse_manifest(type, document.bytes);
        }
        return true;
    } catch (const Error&) {
        return false;
    }
}

/// Documents from the request's namespaces, else from the registry.
class RegistryDocuments final : public oci::DocumentSource {
  public:
    RegistryDocuments(const ImageRequest& request, registry::Remote& remote,
                      const containerd::Connection& connection, DocumentCache& cache)
        : request_(request), remote_(remote), connection_(connection), cache_(cache) {}

    /// What the request's reference names now. The registry claims it, and the document proves it:
    /// its size, its kind, and that there is one.
    oci::Descriptor target() {
        named_ = named();
        return named_->descriptor;
    }

    oci::Document manifest(const oci::Descriptor& descriptor) override {
        if (named_ && named_->descriptor == descriptor) return *named_;
        return document(descriptor, oci::kMaxManifestBytes, [&] {
            return remote_.fetch_manifest(request_.reference, descriptor, connection_.stop());
        });
    }

    oci::Document config(const oci::Descriptor& descriptor) override {
        return document(descriptor, oci::kMaxConfigBytes, [&] {
            return remote_.fetch_small_blob(request_.reference, descriptor, connection_.stop());
        });
    }

  private:
    oci::Document named() {
        const std::stop_token& stop = connection_.stop();
        const oci::Descriptor claimed = remote_.resolve(request_.reference, stop);
        try {
            oci::Document claimed_document = document(claimed, oci::kMaxManifestBytes, [&] {
                return remote_.fetch_claimed(request_.reference, claimed, stop);
            });
            claimed_document.descriptor.size = claimed_document.bytes.size();
            if (is_of_its_kind(claimed_document)) return claimed_document;
        } catch (const Error& error) {
            const bool is_no_such_digest = error.code() == Errc::not_found ||
                                           error.code() == Errc::corrupt ||
                                           error.code() == Errc::unsupported;
            if (request_.reference.digest || !is_no_such_digest) throw;
        }
        return remote_.fetch_named(request_.reference, stop);
    }

    oci::Document document(const oci::Descriptor& descriptor, std::size_t limit,
                           const std::function<std::string()>& fetch) {
        if (auto stored = stored_document(descriptor, limit)) {
            return {.descriptor = descriptor, .bytes = *std::move(stored)};
        }
        bool fetched = false;
        std::string bytes = cache_.get(descriptor.digest, fetch, fetched);
        const std::uint64_t bytes_fetched = fetched ? bytes.size() : 0;
        return {
            .descriptor = descriptor, .bytes = std::move(bytes), .bytes_fetched = bytes_fetched};
    }

    /// A damaged one is fetched again, and replaced by BlobFetcher.
    std::optional<std::string> stored_document(const oci::Descriptor& descriptor,
                                               std::size_t limit) const {
        try {
            return store::stored_bytes(connection_, request_.namespaces, descriptor, limit);
        } catch (const Error& error) {
            if (error.code() != Errc::corrupt) throw;
            return std::nullopt;
        }
    }

    const ImageRequest& request_;
    registry::Remote& remote_;
    const containerd::Connection& connection_;
    DocumentCache& cache_;
    std::optional<oci::Document> named_;
};

std::optional<oci::Descriptor> held_target(const ImageRequest& request,
                                           const containerd::Connection& connection) {
    const containerd::Images images(connection,
                                    {.ns = std::string(store::kCriNamespace), .lease = {}});
    const auto held = images.get(name_of(request));
    return held ? std::optional(held->target) : std::nullopt;
}

}  // namespace

std::string name_of(const ImageRequest& request) {
    return request.reference.tag_name().value_or(request.reference.str());
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
