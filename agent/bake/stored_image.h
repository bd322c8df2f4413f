#pragma once

#include "agent/bake/resolve.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/images.h"
#include "agent/oci/platform.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Images as containerd has them, whoever brought them there. Nothing here asks a registry.
namespace prebake::bake {

/// What would bake the image into the placement's namespace again, under the recorded names. Pure.
/// @throws Error usage when the record has a name or platform that is none.
ImageRequest request_of(const v1::BakedImage& image, const v1::Placement& placement);

/// A recorded image from its documents in the store (any namespace may have
/// them).
/// @throws Error not_found naming the first document that is missing; corrupt.
ResolvedImage resolve_stored(const v1::BakedImage& image, const containerd::Connection& connection);

/// What the bake record would say of an image in `ns`: documents, layers with diffIDs and chain
/// IDs, no placements. For `platform`, from the index if the target is one.
/// @throws Error not_found when a document is missing; unsupported when it is not an image that can
/// be run; corrupt.
v1::BakedImage describe_stored(const containerd::Connection& connection, const std::string& ns,
                               const containerd::Image& image, const oci::Platform& platform);

/// Documents and layers of a resolved image, as the bake record has them: no name, no placements.
v1::BakedImage contents_of(const ResolvedImage& image);

}  // namespace prebake::bake
