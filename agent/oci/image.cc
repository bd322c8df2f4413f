#include "agent/oci/image.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "agent/base/error.h"

namespace prebake::oci {
namespace {

/// Indexes within indexes; real ones nest once.
constexpr std::size_t kMaxIndexDepth = 4;
/// The children without a platform of one index, whose configs are asked: each costs two documents.
constexpr std::size_t kMaxUndeclaredChildren = 16;

class Resolution {
  public:
    Resolution(const Platform& platform, ImageUse use, DocumentSource& source)
        : platform_(platform), use_(use), source_(source) {}

    Image run(const Descriptor& target) {
        std::optional<Image> image = descend(target, {});
        if (!image) {
            throw Error(Errc::unsupported,
                        "the image does not exist for " + platform_.str() + "; its index offers " +
                            list_platforms(offered_),
                        "choose another tag, or another --platform");
        }
        image->target = target;
        return *std::move(image);
    }

  private:
    /// Nothing if what `current` leads to is for other platforms, which are noted as offered.
    std::optional<Image> descend(const Descriptor& current, std::vector<Document> indexes) {
        if (media_kind(current.media_type) != MediaKind::index) {
            return with_manifest(current, std::move(indexes));
        }
        if (indexes.size() == kMaxIndexDepth) {
            throw Error(Errc::unsupported, "index " + current.digest.str() + " nests more than " +
                                               std::to_string(kMaxIndexDepth) + " indexes");
        }
        indexes.push_back(source_.manifest(current));
        const Index index = in_context("index " + current.digest.str(), [&] {
            return parse_index(current.media_type, indexes.back().bytes);
        });
        const Descriptor* declared = in_context("index " + current.digest.str(),
                                                [&] { return select_declared(index, platform_); });
        if (declared != nullptr) return descend(*declared, std::move(indexes));
        for (std::string& platform : platforms_of(index)) offered_.push_back(std::move(platform));
        return first_fitting(undeclared_children(index), indexes);
    }

    /// Children without a platform: their configs say what they are for. A bake does not store
    /// those of other platforms, so later they may be missing.
    std::optional<Image> first_fitting(const std::vector<const Descriptor*>& children,
                                       const std::vector<Document>& indexes) {
        std::optional<Error> missing;
        for (std::size_t i = 0; i < std::min(children.size(), kMaxUndeclaredChildren); ++i) {
            try {
                if (auto image = descend(*children[i], indexes)) return image;
            } catch (const Error& error) {
                if (error.code() != Errc::not_found) throw;
                if (!missing) missing = error;
            }
        }
        if (missing) throw Error(*missing);
        return std::nullopt;
    }

    std::optional<Image> with_manifest(const Descriptor& descriptor,
                                       std::vector<Document> indexes) {
        Document manifest = source_.manifest(descriptor);
        Manifest contents = in_context("manifest " + descriptor.digest.str(), [&] {
            return parse_manifest(descriptor.media_type, manifest.bytes);
        });
        const bool is_undeclared = !indexes.empty() && !descriptor.platform;
        const bool is_image = media_kind(contents.config.media_type) == MediaKind::config;
        if (!is_image && is_undeclared && use_ != ImageUse::artifact) return std::nullopt;
        if (!is_image && use_ == ImageUse::unpack)
            throw not_unpackable("its config", contents.config);
        Document config = source_.config(contents.config);
        Image image{.target = descriptor,
                    .indexes = std::move(indexes),
                    .manifest = std::move(manifest),
                    .config = std::move(config),
                    .contents = std::move(contents),
                    .diff_ids = {},
                    .chain_ids = {}};
        const bool reads_config = is_image && use_ != ImageUse::artifact;
        if (reads_config && !add_config(image, is_undeclared)) return std::nullopt;
        return image;
    }

    static Error not_unpackable(const std::string& what, const Descriptor& descriptor) {
        return Error(
            Errc::unsupported,
            what + " has the media type " + descriptor.media_type + ", which cannot be unpacked",
            "if it is an artifact, set kind = \"artifact\" for it in an image list");
    }

    /// Refuses everything that can be known to be wrong with the image, and names the snapshots to
    /// build. False if it is the child of an index, and for another platform.
    bool add_config(Image& image, bool is_undeclared) {
        const ImageConfig config =
            in_context("config " + image.config.descriptor.digest.str(),
                       [&] { return parse_image_config(image.config.bytes); });
        // An index says which platform a child is for; without one only the config knows, and peers
        // that do not look there deliver an "exec format error".
        if (is_undeclared && !is_for_platform(config.platform)) {
            offered_.push_back(config.platform.str());
            return false;
        }
        if (image.indexes.empty()) require_platform(config.platform);
        if (use_ != ImageUse::unpack) return true;
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
        return true;
    }

    bool is_for_platform(const Platform& actual) const {
        const std::vector<Platform> fitting = runnable_on(platform_);
        return std::find(fitting.begin(), fitting.end(), actual) != fitting.end();
    }

    /// Of an image without an index. A config that does not say its architecture is taken as it is,
    /// as containerd takes it: some builders leave it out.
    void require_platform(const Platform& actual) const {
        const bool is_unknown = actual.architecture.empty() && actual.os == platform_.os;
        if (is_unknown || is_for_platform(actual)) return;
        throw Error(Errc::unsupported,
                    "the image is for " + actual.str() + ", not for " + platform_.str(),
                    "choose another tag, or say --platform " + actual.str() +
                        " if the machines to come are of that kind");
    }

    const Platform& platform_;
    const ImageUse use_;
    DocumentSource& source_;
    std::vector<std::string> offered_;  ///< platforms of other children
};

}  // namespace

Image resolve_image(const Descriptor& target, const Platform& platform, ImageUse use,
                    DocumentSource& source) {
    return Resolution(platform, use, source).run(target);
}

}  // namespace prebake::oci
