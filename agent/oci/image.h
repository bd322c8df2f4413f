#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/oci/digest.h"
#include "agent/oci/manifest.h"
#include "agent/oci/platform.h"

namespace prebake::oci {

/// A small verified document and what it is.
struct Document {
    Descriptor descriptor;
    std::string bytes;
    std::uint64_t bytes_fetched = 0;  ///< over the network; 0 if the store had it already
};

/// The documents of one image for one platform, parsed.
struct Image {
    Descriptor target;              ///< what the image's names point at
    std::vector<Document> indexes;  ///< from the target down; empty if the target is the manifest
    Document manifest;
    Document config;
    Manifest contents;              ///< the manifest, parsed
    std::vector<Digest> diff_ids;   ///< one per layer; empty if it is not unpacked
    std::vector<Digest> chain_ids;  ///< likewise
};

/// Where the documents of one image come from.
class DocumentSource {
  public:
    virtual ~DocumentSource() = default;
    /// A manifest or index, verified. @throws Error if the source cannot deliver it.
    virtual Document manifest(const Descriptor& descriptor) = 0;
    /// An image config, verified. @throws Error if the source cannot deliver it.
    virtual Document config(const Descriptor& descriptor) = 0;
};

/// What is done with an image.
enum class ImageUse {
    unpack,    ///< its config and layers must be of types that can be unpacked
    store,     ///< it is an image, but stays as it is
    artifact,  ///< it need not be one: neither its config nor its platform matters
};

/// Follows `target` down to the manifest for `platform` and its config.
/// @throws Error of `source`; unsupported if the image does not exist for the platform or has a
/// layer that cannot be unpacked; corrupt if its documents contradict each other.
Image resolve_image(const Descriptor& target, const Platform& platform, ImageUse use,
                    DocumentSource& source);

}  // namespace prebake::oci
