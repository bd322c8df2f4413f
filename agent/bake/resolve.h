#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/bake/document_cache.h"
#include "agent/bake/image_list.h"
#include "agent/containerd/connection.h"
#include "agent/oci/image.h"
#include "agent/registry/remote.h"
#include "agent/trust/verification.h"

namespace prebake::bake {

/// An image, and the request that it was resolved for, with platform and namespaces filled in.
struct ResolvedImage : oci::Image {
    ImageRequest request;
    /// The signatures that the rules of trust require; the image gets no name without them.
    std::vector<trust::Proof> proofs = {};

    /// The image's name in reports: "docker.io/library/nginx:1.27".
    std::string name() const;
};
std::string name_of(const ImageRequest& request);

/// The names to create for the image in a namespace, as store::names_in().
std::vector<std::string> names_in(const std::string& ns, const ResolvedImage& image);

/// What k8s.io has by the request's name.
std::optional<oci::Descriptor> held_target(const ImageRequest& request,
                                           const containerd::Connection& connection);

/// Indexes, manifest, config, layers and signatures of the image.
std::vector<oci::Digest> blobs_of(const ResolvedImage& image);

/// Asks the registry what the request's reference names now. The sandbox image is what k8s.io has
/// by its name, if it has one: CRI does not pull it again either. Documents that one of the
/// request's namespaces has are read from there, not fetched: Docker Hub counts each GET of a
/// manifest.
/// @throws Error as registry::Remote; unsupported if the image does not exist for the platform, has
/// a layer of a type that cannot be unpacked, or is schema 1; corrupt if its documents contradict
/// each other.
ResolvedImage resolve(const ImageRequest& request, registry::Remote& remote,
                      const containerd::Connection& connection, DocumentCache& cache);

/// oci::resolve_image() for the request, whose platform must be filled in.
ResolvedImage resolve_from(const ImageRequest& request, const oci::Descriptor& target,
                           oci::DocumentSource& source);

}  // namespace prebake::bake
