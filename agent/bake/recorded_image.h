#pragma once

#include "agent/bake/image_list.h"
#include "agent/bake/resolve.h"
#include "agent/containerd/connection.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Images of the bake record as requests and as resolved images. No registry is asked.
namespace prebake::bake {

/// The kind in the record.
v1::BakedImage::Kind recorded_kind(ImageKind kind);

/// The request that bakes the image into the placement's namespace again, with the recorded names.
/// Pure. @throws Error usage if a recorded name or platform is malformed.
ImageRequest request_of(const v1::BakedImage& image, const v1::Placement& placement);

/// A recorded image, resolved from its documents in the content store of any namespace.
/// @throws Error not_found naming the first document that is missing; corrupt.
ResolvedImage resolve_stored(const v1::BakedImage& image, const containerd::Connection& connection);

}  // namespace prebake::bake
