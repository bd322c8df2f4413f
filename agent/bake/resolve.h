#pragma once

#include <string>

#include "agent/bake/document_cache.h"
#include "agent/bake/image_list.h"
#include "agent/containerd/connection.h"
#include "agent/oci/image.h"
#include "agent/registry/remote.h"

namespace prebake::bake {

/// An image with the request that it was resolved for (platform and namespaces filled in).
struct ResolvedImage : oci::Image {
    ImageRequest request;

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

/// oci::resolve_image() for what `request` asks for; its platform must be filled in.
ResolvedImage resolve_from(const ImageRequest& request, const oci::Descriptor& target,
                           oci::DocumentSource& source);

}  // namespace prebake::bake
