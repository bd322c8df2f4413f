#pragma once

#include <string>
#include <vector>

#include "agent/bake/blob_repositories.h"
#include "agent/bake/present_content.h"
#include "agent/bake/resolve.h"
#include "agent/store/labels.h"
#include "agent/store/snapshotter.h"

/// What a namespace has to hold of an image, besides its names. Pure.
namespace prebake::bake {

/// A document and the labels that it needs, without distribution.source.
struct LabelledDocument {
    const oci::Document* document;  ///< of the image
    store::Labels labels;
};

/// The documents of the image, each after what it refers to. `snapshotters` has the namespace if
/// the image is unpacked.
std::vector<LabelledDocument> documents_of(const ResolvedImage& image, const std::string& ns,
                                           const store::Snapshotters& snapshotters);

/// True if `present` has all of the image, with all labels: storing and unpacking it again would
/// change nothing. `repositories` has all blobs of the image.
bool has_all(const PresentContent& present, const ResolvedImage& image, const std::string& ns,
             const store::Snapshotters& snapshotters, const BlobRepositories& repositories);

}  // namespace prebake::bake
