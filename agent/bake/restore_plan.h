#pragma once

#include <functional>
#include <vector>

#include "agent/bake/present_content.h"
#include "agent/bake/resolve.h"
#include "agent/oci/digest.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// What can be restored of a recorded image when layers are lost. Pure, except for the callbacks.
namespace prebake::bake {

/// One placement of a recorded image.
struct RestorePart {
    ResolvedImage image;                        ///< its request is for this placement only
    std::vector<oci::Digest> lost_layers = {};  ///< needed, and in no namespace
    bool is_usable = true;                      ///< the image can be used without them
};

/// One part for each placement of `image`. `resolved` is the image from its stored documents.
std::vector<RestorePart> parts_of(const v1::BakedImage& image, const ResolvedImage& resolved);

/// Sets `lost_layers` and `is_usable`. `is_on_disk` says whether any namespace has the blob; it is
/// asked only about layers that the part needs and its own namespace does not have.
void find_lost_layers(RestorePart& part, const PresentContent& present,
                      const std::function<bool(const oci::Digest&)>& is_on_disk);

/// Restores each usable part with `restore`. @throws Error the first failure or lost layer, after
/// all parts; an error that ends the session (containerd::ends_session) at once.
void restore_parts(const v1::BakedImage& image, std::vector<RestorePart>& parts,
                   const std::function<void(const ResolvedImage&)>& restore);

}  // namespace prebake::bake
