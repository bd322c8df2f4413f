#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/bake/document_cache.h"
#include "agent/bake/image_list.h"
#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"
#include "agent/registry/remote.h"

namespace prebake::bake {

/// A small verified document and what it is.
struct Document {
    oci::Descriptor descriptor;
    std::string bytes;
    std::uint64_t bytes_fetched = 0;  ///< 0 when the store had it already
};

/// An image request with everything that its bake needs but the layers' bytes.
struct ResolvedImage {
    ImageRequest request;           ///< platform and namespaces filled in
    oci::Descriptor target;         ///< what the image's names will point at
    std::vector<Document> indexes;  ///< from the target down; empty if the target is the manifest
    Document manifest;
    Document config;
    oci::Manifest contents;  ///< the manifest, parsed
    std::vector<oci::Digest>
        diff_ids;  ///< as many as layers; empty for an image that is not unpacked
    std::vector<oci::Digest> chain_ids;  ///< likewise

    /// "docker.io/library/nginx:1.27": how reports call the image.
    std::string name() const;
};
std::string name_of(const ImageRequest& request);

/// Asks the registry what `request` means now. Documents that one of the request's namespaces holds
/// already are read from there; a registry is never asked for them (Docker Hub counts each GET of a
/// manifest).
/// @throws Error as registry::Remote; unsupported when the image does not exist for the platform,
/// has a layer of a type that nothing here can unpack, or is schema 1; corrupt when its documents
/// contradict one another.
ResolvedImage resolve(const ImageRequest& request, registry::Remote& remote,
                      const containerd::Connection& connection, DocumentCache& cache);

}  // namespace prebake::bake
