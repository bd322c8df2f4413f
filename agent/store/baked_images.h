#pragma once

#include <compare>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/prebake/v1/bake_record.pb.h"

/// The index of the bake record. Pure.
namespace prebake::store {

/// A baked image in one namespace.
struct ImageKey {
    std::string image;  ///< its name in the bake record
    std::string ns;
    std::string platform = {};  ///< linux/amd64: one name may be baked for several
    auto operator<=>(const ImageKey&) const = default;
};

ImageKey key_of(const v1::BakedImage& image, const v1::Placement& placement);

/// CRI's sandbox image (pause), which every pod needs.
struct SandboxImage {
    std::string name;  ///< CRI's name for it; empty if CRI is not used
    /// What containerd has under that name in k8s.io, with one placement; nothing if there is no
    /// such image.
    std::optional<v1::BakedImage> found;
};

/// One image of the record in one of the namespaces that it was baked for. The references are valid
/// as long as the BakedImages that they come from.
struct PlacedImage {
    ImageKey key;
    const v1::BakedImage& image;
    const v1::Placement& placement;
    std::size_t position = 0;  ///< in BakedImages::images()
    bool is_recorded = true;   ///< false: the sandbox image, and the record does not have it
    bool runs_here = true;     ///< its platform is one that this machine runs
};

/// Whether this machine runs images of the platform, by containerd's rule. An unknown platform
/// does, because nothing speaks against it.
bool runs_here(const std::string& platform);

/// The images that the node has to keep usable: those of the bake record, in its order, then the
/// sandbox image, unless the record has an image of its name. Never changes: the ledger and the
/// guard share one.
class BakedImages {
  public:
    explicit BakedImages(v1::BakeRecord record = {}, SandboxImage sandbox = {});
    ~BakedImages() = default;
    // The index consists of references into the record.
    BakedImages(const BakedImages&) = delete;
    BakedImages& operator=(const BakedImages&) = delete;

    const v1::BakeRecord& record() const { return record_; }
    /// `found` is empty if the record has the image.
    const SandboxImage& sandbox() const { return sandbox_; }
    /// The image that the sandbox name belongs to; nothing if it is neither recorded nor found.
    std::optional<ImageKey> sandbox_key() const;

    const std::vector<PlacedImage>& images() const { return images_; }
    bool contains(const ImageKey& key) const;
    /// Whether the record has an image of that name, for any namespace.
    bool is_recorded(std::string_view image) const;

    /// The images that have this name in the namespace.
    std::vector<ImageKey> named(std::string_view ns, std::string_view name) const;
    /// The first of them that runs on this machine, else the first, or null.
    const PlacedImage* first_named(std::string_view ns, std::string_view name) const;
    /// The images that have this snapshot (chain ID) or this blob.
    std::vector<ImageKey> made_of(std::string_view ns, std::string_view part) const;
    /// All names of the image in its namespace.
    std::vector<std::string> names_of(const ImageKey& key) const;
    /// The digest that its names point to; empty for an unknown image.
    std::string target_of(const ImageKey& key) const;

  private:
    /// (namespace, name or digest) -> position. Views of strings in the record.
    using Index = std::multimap<std::pair<std::string_view, std::string_view>, std::size_t>;

    void add(const v1::BakedImage& image, bool is_recorded);
    void index(const PlacedImage& placed);
    std::vector<ImageKey> keys_at(const Index& index, std::string_view ns,
                                  std::string_view subject) const;

    v1::BakeRecord record_;
    SandboxImage sandbox_;
    std::vector<PlacedImage> images_;
    Index names_;
    Index parts_;
};

}  // namespace prebake::store
