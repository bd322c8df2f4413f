#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/ledger/pull_reason.h"
#include "agent/oci/digest.h"
#include "agent/store/holdings.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::ledger {

/// Names of images that were not baked and are known at a time. Of more the longest known are
/// forgotten: a listing brings them back.
inline constexpr std::size_t kMaxKnownNames = 4096;

struct ImageLayer {
    oci::Digest digest;
    std::optional<oci::Digest> chain;  ///< nothing where the image was never unpacked
    std::uint64_t size = 0;            ///< compressed
};

/// What the catalog keeps of a v1::BakedImage.
struct ImageContents {
    std::string target;
    std::string manifest;
    std::string config;
    std::optional<oci::Digest> chain;  ///< of the top layer
    std::vector<ImageLayer> layers;
    std::uint64_t bytes = 0;  ///< of all layers
};

ImageContents summarize(const v1::BakedImage& image);

/// One image in one namespace, under all the names that it has there: CRI gives each three (tag,
/// digest, id).
struct CatalogImage {
    std::string ns;
    std::string name;  ///< of the record, or the first that it came with
    std::shared_ptr<const ImageContents> contents;
    bool is_baked = false;          ///< in the record for this namespace, or the sandbox image
    std::size_t names_present = 0;  ///< how many names point at it
    std::uint64_t appeared = 0;     ///< the higher, the later; 0: never, it was baked
    bool has_lost_name = false;     ///< a baked one: a name was deleted behind our back
    bool is_chain_missing = false;  ///< a baked one: at the last listing
    bool is_from_listing = false;   ///< no event told of its coming
    std::string reason = {};        ///< why it was pulled, or is no hit
};

/// Which images each namespace has, under which names, and upon which chains their containers
/// stand. Pure state.
class Catalog {
  public:
    /// Names of images that are new in the record count as there until a listing says otherwise.
    void set_record(const v1::BakeRecord& record);

    /// By a name that is there; null if there is none.
    CatalogImage* find(const std::string& ns, const std::string& name) const;
    /// The same, or the baked one of that name in the record.
    CatalogImage* find_or_baked(const std::string& ns, const std::string& name) const;

    struct Placed {
        CatalogImage& image;
        bool was_there = false;  ///< the name pointed at this image before
        bool is_alias = false;   ///< one more name, that CRI made, of an image that has others
    };
    /// Points a name at contents: at the image that it belongs to, or at a new one.
    Placed place(const std::string& ns, const std::string& name, ImageContents contents);
    void remove(const std::string& ns, const std::string& name);
    /// Names of the namespace that the listing does not have.
    std::vector<std::string> names_missing_in(const store::Holdings& holdings) const;
    /// Baked images have their names back that the listing has.
    void restore(const store::Holdings& holdings);

    /// It is none of the record, and counts as if it were.
    void count_as_baked(CatalogImage& image);

    struct Standing {
        CatalogImage* image = nullptr;  ///< whose container stands on the chain
        bool is_known = false;          ///< false: no image in the namespace has that chain at all
    };
    /// Of several images with one top layer: one that has a name, the baked one, the one that
    /// appeared last.
    Standing stand_on(const std::string& ns, const oci::Digest& chain) const;

    /// All of a namespace: others in the order in which they appeared, then the baked ones.
    std::vector<CatalogImage*> images(const std::string& ns) const;
    /// Those of the record, all namespaces, in its order.
    std::vector<const CatalogImage*> baked() const;
    PullFacts facts_of(const CatalogImage& image, const std::string& name) const;

  private:
    using ImagePtr = std::shared_ptr<CatalogImage>;
    struct ChainUse {
        std::vector<CatalogImage*> tops;  ///< images whose top layer it is; baked ones in order
        std::size_t layers = 0;           ///< of all images
    };
    struct Space {
        std::map<std::string, ImagePtr> names;  ///< that are there
        std::vector<ImagePtr> baked;
        std::map<std::string, ImagePtr> baked_names;
        oci::DigestMap<ChainUse> chains;
    };

    void set_baked(Space& space, const std::vector<ImagePtr>& before, const v1::BakedImage& entry,
                   const v1::Placement& placement);
    static bool is_recorded(const Space& space, const ImagePtr& image);
    static void reindex(Space& space);
    static void index(Space& space, CatalogImage& image);
    static void unindex(Space& space, const CatalogImage& image);
    static ImagePtr owner_of(const Space& space, const std::string& name,
                             const ImageContents& contents);
    static void attach(Space& space, const std::string& name, const ImagePtr& image);
    static void detach(Space& space, const std::string& name);
    void forget_oldest();

    std::map<std::string, Space, std::less<>> spaces_;
    std::uint64_t next_ = 1;
    std::size_t other_names_ = 0;
};

}  // namespace prebake::ledger
