#include "agent/oci/image.h"

#include <algorithm>
#include <utility>

#include "agent/base/error.h"

namespace prebake::oci {
namespace {

/// Indexes within indexes; real ones nest once.
constexpr int kMaxIndexDepth = 4;

class Resolution {
  public:
    Resolution(const Platform& platform, Unpacking unpacking, DocumentSource& source)
        : platform_(platform), is_unpacked_(unpacking == Unpacking::wanted), source_(source) {}

    Image run(const Descriptor& target) {
        std::vector<Document> indexes;
        Descriptor current = target;
        while (media_kind(current.media_type) == MediaKind::index) {
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
    Image with_manifest(const Descriptor& target, std::vector<Document> indexes,
                        const Descriptor& descriptor) {
        Document manifest = source_.manifest(descriptor);
        Manifest contents = in_context("manifest " + descriptor.digest.str(), [&] {
            return parse_manifest(descriptor.media_type, manifest.bytes);
        });
        Document config = source_.config(contents.config);
        Image image{.target = target,
                    .indexes = std::move(indexes),
                    .manifest = std::move(manifest),
                    .config = std::move(config),
                    .contents = std::move(contents),
                    .diff_ids = {},
                    .chain_ids = {}};
        const bool is_image = media_kind(image.contents.config.media_type) == MediaKind::config;
        if (is_unpacked_ && !is_image) throw not_unpackable("its config", image.contents.config);
        if (is_image) add_config(image);
        return image;
    }

    static Error not_unpackable(const std::string& what, const Descriptor& descriptor) {
        return Error(
            Errc::unsupported,
            what + " has the media type " + descriptor.media_type + ", which cannot be unpacked",
            "set unpack = false for it in an image list to bake it as it is");
    }

    /// Refuses everything that can be known to be wrong with the image, and names the snapshots to
    /// build.
    void add_config(Image& image) const {
        const ImageConfig config =
            in_context("config " + image.config.descriptor.digest.str(),
                       [&] { return parse_image_config(image.config.bytes); });
        // An index says which platform a child is for; without one only the config knows, and peers
        // that do not look there deliver an "exec format error".
        if (!image.manifest.descriptor.platform) require_platform(config.platform);
        if (!is_unpacked_) return;
        for (const Descriptor& layer : image.contents.layers) {
            if (is_layer(media_kind(layer.media_type))) continue;
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
        image.chain_ids = chain_ids(image.diff_ids);
    }

    Descriptor child_for_platform(const Document& document) const {
        const Index index = in_context("index " + document.descriptor.digest.str(), [&] {
            return parse_index(document.descriptor.media_type, document.bytes);
        });
        const Descriptor* child = select_platform(index, platform_);
        if (child != nullptr) return *child;
        throw Error(Errc::unsupported,
                    "the image does not exist for " + platform_.str() + "; its index offers " +
                        platforms_of(index),
                    "choose another tag, or another --platform");
    }

    void require_platform(const Platform& actual) const {
        const std::vector<Platform> fitting = runnable_on(platform_);
        if (std::find(fitting.begin(), fitting.end(), actual) != fitting.end()) return;
        throw Error(Errc::unsupported,
                    "the image is for " + actual.str() + ", not for " + platform_.str(),
                    "choose another tag, or say --platform " + actual.str() +
                        " if the machines to come are of that kind");
    }

    const Platform& platform_;
    const bool is_unpacked_;
    DocumentSource& source_;
};

}  // namespace

Image resolve_image(const Descriptor& target, const Platform& platform, Unpacking unpacking,
                    DocumentSource& source) {
    return Resolution(platform, unpacking, source).run(target);
}

}  // namespace prebake::oci
