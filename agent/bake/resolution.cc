#include "agent/bake/resolution.h"

#include <algorithm>
#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/content.h"

namespace prebake::bake {
namespace {

using oci::MediaKind;

/// Indexes within indexes; real ones nest once.
constexpr int kMaxIndexDepth = 4;

class Resolution {
  public:
    Resolution(const ImageRequest& request, DocumentSource& source)
        : request_(request), source_(source) {}

    ResolvedImage run(const oci::Descriptor& target) {
        std::vector<Document> indexes;
        oci::Descriptor current = target;
        while (oci::media_kind(current.media_type) == MediaKind::index) {
            if (indexes.size() == kMaxIndexDepth) {
                throw Error(Errc::unsupported, "index " + target.digest.str() +
                                                   " nests more than " +
                                                   std::to_string(kMaxIndexDepth) + " indexes");
            }
            indexes.push_back(source_.manifest(current));
            current = child_for_platform(indexes.back());
        }
        return with_manifest(target, std::move(indexes), current);
    }

  private:
    ResolvedImage with_manifest(const oci::Descriptor& target, std::vector<Document> indexes,
                                const oci::Descriptor& descriptor) {
        Document manifest = source_.manifest(descriptor);
        oci::Manifest contents = in_context("manifest " + descriptor.digest.str(), [&] {
            return oci::parse_manifest(descriptor.media_type, manifest.bytes);
        });
        Document config = source_.config(contents.config);
        ResolvedImage image{.request = request_,
                            .target = target,
                            .indexes = std::move(indexes),
                            .manifest = std::move(manifest),
                            .config = std::move(config),
                            .contents = std::move(contents),
                            .diff_ids = {},
                            .chain_ids = {}};
        const bool is_image =
            oci::media_kind(image.contents.config.media_type) == MediaKind::config;
        if (request_.unpack && !is_image) throw not_unpackable("its config", image.contents.config);
        if (is_image) add_config(image);
        return image;
    }

    static Error not_unpackable(const std::string& what, const oci::Descriptor& descriptor) {
        return Error(
            Errc::unsupported,
            what + " has the media type " + descriptor.media_type + ", which cannot be unpacked",
            "set unpack = false for it in an image list to bake it as it is");
    }

    /// Refuses everything that can be known to be wrong with the image, and names the snapshots to
    /// build.
    void add_config(ResolvedImage& image) const {
        const oci::ImageConfig config =
            in_context("config " + image.config.descriptor.digest.str(),
                       [&] { return oci::parse_image_config(image.config.bytes); });
        // An index says which platform a child is for; without one only the config knows, and peers
        // that do not look there deliver an "exec format error".
        if (!image.manifest.descriptor.platform) require_platform(config.platform);
        if (!request_.unpack) return;
        for (const oci::Descriptor& layer : image.contents.layers) {
            if (oci::is_layer(oci::media_kind(layer.media_type))) continue;
            throw not_unpackable("layer " + layer.digest.str(), layer);
        }
        if (config.diff_ids.size() != image.contents.layers.size()) {
            throw Error(Errc::corrupt,
                        "config " + image.config.descriptor.digest.str() + " lists " +
                            std::to_string(config.diff_ids.size()) + " diffIDs for " +
                            std::to_string(image.contents.layers.size()) + " layers",
                        "the image is broken where it was built: build and push it again");
        }
        image.diff_ids = config.diff_ids;
        image.chain_ids = oci::chain_ids(image.diff_ids);
    }

    oci::Descriptor child_for_platform(const Document& document) const {
        const oci::Index index = in_context("index " + document.descriptor.digest.str(), [&] {
            return oci::parse_index(document.descriptor.media_type, document.bytes);
        });
        const oci::Descriptor* child = oci::select_platform(index, *request_.platform);
        if (child != nullptr) return *child;
        throw Error(Errc::unsupported,
                    "the image does not exist for " + request_.platform->str() +
                        "; its index offers " + oci::platforms_of(index),
                    "choose another tag, or another --platform");
    }

    void require_platform(const oci::Platform& actual) const {
        const std::vector<oci::Platform> fitting = oci::runnable_on(*request_.platform);
        if (std::find(fitting.begin(), fitting.end(), actual) != fitting.end()) return;
        throw Error(Errc::unsupported,
                    "the image is for " + actual.str() + ", not for " + request_.platform->str(),
                    "choose another tag, or say --platform " + actual.str() +
                        " if the machines to come are of that kind");
    }

    const ImageRequest& request_;
    DocumentSource& source_;
};

}  // namespace

ResolvedImage resolve_from(const ImageRequest& request, const oci::Descriptor& target,
                           DocumentSource& source) {
    return Resolution(request, source).run(target);
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
                    "delete it (ctr -n " + ns + " content rm " + descriptor.digest.str() +
                        ") and bake again");
    }
    return std::nullopt;
}

}  // namespace prebake::bake
