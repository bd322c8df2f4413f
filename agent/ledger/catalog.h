#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/ledger/pull_reason.h"
#include "agent/oci/digest.h"
#include "agent/store/baked_images.h"
#include "agent/store/holdings.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::ledger {

/// Limit of the known names of images that were not baked. Beyond this limit the oldest names are
/// dropped; a listing brings them back.
inline constexpr std::size_t kMaxKnownNames = 4096;

struct ImageLayer {
    oci::Digest digest;
    std::optional<oci::Digest> chain;  ///< nothing if the image was never unpacked
    std::uint64_t size = 0;            ///< bytes, compressed
};

/// What the catalog keeps of a v1::BakedImage.
struct ImageContents {
    std::string target;
    std::string manifest;
    std::string config;
    std::string platform;              ///< linux/amd64; empty: unknown
    std::optional<oci::Digest> chain;  ///< of the top layer
    std::vector<ImageLayer> layers;    ///< bottom first
    std::uint64_t bytes = 0;           ///< of all layers
};

ImageContents summarize(const v1::BakedImage& image);

/// One image in one namespace. It has all of its names there: CRI gives each image three (tag,
/// digest, id).
struct CatalogImage {
    store::ImageKey key;  ///< its name in the record, else the first name that was seen
    std::shared_ptr<const ImageContents> contents;
    std::optional<std::size_t> position;  ///< in store::BakedImages::images(), if it is recorded
    bool is_baked = false;                ///< recorded, or the sandbox image
    std::size_t names_present = 0;        ///< how many names point to it
    std::uint64_t appeared = 0;           ///< the higher, the later; 0: it was baked
    bool has_lost_name = false;           ///< baked, and somebody else deleted a name
    bool is_chain_missing = false;        ///< baked, and not unpacked at the last listing
    bool is_unpulled = false;             ///< a listing found it, or a bake named it
    std::string reason = {};              ///< why it was pulled, or why it is not a hit
};

/// Which images each namespace has, under which names, and which chains they consist of. Pure.
class Catalog {
  public:
    /// The names of images that are new in the record count as present until a listing.
    void set_baked(std::shared_ptr<const store::BakedImages> baked);

    /// The image of a name that is present, or null.
    CatalogImage* find(const std::string& ns, const std::string& name) const;
    /// The same; else the recorded image of that name, or null.
    CatalogImage* find_or_recorded(const std::string& ns, const std::string& name) const;

    struct Placed {
        CatalogImage& image;
        bool was_there = false;  ///< the name pointed to this image before
        bool is_alias = false;   ///< CRI added this name to an image that had one
    };
    /// Points a name to an image with these contents: the one that it belongs to, or a new one.
    Placed place(const std::string& ns, const std::string& name, ImageContents contents);
    void remove(const std::string& ns, const std::string& name);
    /// The names of the namespace that the listing does not have.
    std::vector<std::string> names_missing_in(const store::Holdings& holdings) const;
    /// Gives recorded images the names back that the listing has.
    void restore(const store::Holdings& holdings);

    /// The image is not recorded, but counts as baked.
    void count_as_baked(CatalogImage& image);

    struct ChainOwner {
        CatalogImage* image = nullptr;  ///< the image whose container uses the chain
        bool is_known = false;          ///< false: no image of the namespace has this chain
    };
    /// Which image a container was started from. Of several images with this top layer it is the
    /// one that `name` points to, or the baked one if both are one image, else one that has a name,
    /// the baked one, the one that appeared last, the first of the record.
    ChainOwner owner_of_chain(const std::string& ns, const oci::Digest& chain,
                              const std::string& name = {}) const;

    /// All images of a namespace: first the others, in the order of their appearance, then the
    /// baked ones, in the order of the record.
    std::vector<CatalogImage*> images(const std::string& ns) const;
    /// The recorded images, by namespace and in the order of the record.
    std::vector<const CatalogImage*> recorded() const;
    PullFacts facts_of(const CatalogImage& image, const std::string& name) const;

  private:
    using ImagePtr = std::shared_ptr<CatalogImage>;
    struct ChainUse {
        std::vector<CatalogImage*> tops;  ///< the images that have it as their top layer
        std::size_t layers = 0;           ///< of all images
    };
    struct Space {
        std::map<std::string, ImagePtr> names;  ///< that are present
        oci::DigestMap<ChainUse> chains;
    };

    void add_recorded(const store::PlacedImage& placed, const std::vector<ImagePtr>& before);
    ImagePtr recorded_of(std::string_view ns, std::string_view name) const;
    void reindex(const std::string& ns, Space& space);
    static void index(Space& space, CatalogImage& image);
    static void unindex(Space& space, const CatalogImage& image);
    ImagePtr owner_of(const std::string& ns, const Space& space, const std::string& name,
                      const ImageContents& contents) const;
    static void attach(Space& space, const std::string& name, const ImagePtr& image);
    static void detach(Space& space, const std::string& name);
    void drop_oldest_name();

    std::shared_ptr<const store::BakedImages> baked_ = std::make_shared<store::BakedImages>();
    std::vector<ImagePtr> recorded_;  ///< as the first images of `baked_`
    std::map<std::string, Space, std::less<>> spaces_;
    std::uint64_t next_ = 1;
    std::size_t other_names_ = 0;
};

}  // namespace prebake::ledger
