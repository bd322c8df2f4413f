#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/bake/resolve.h"
#include "agent/oci/digest.h"
#include "agent/oci/reference.h"
#include "agent/store/labels.h"

namespace prebake::bake {

/// For each blob of a bake, by (namespace, digest): the repositories of all images that have it.
using BlobRepositories = std::map<std::pair<std::string, oci::Digest>, std::vector<oci::Reference>>;

/// Adds the blobs of one image. Pure.
void add_repository(BlobRepositories& repositories, const ResolvedImage& image);

/// `labels` with distribution.source for a blob that has the labels `held`. Its value names the
/// repositories of all images that share the blob, so two images that label it at the same time
/// write the same. Pure.
store::Labels with_sources(store::Labels labels, const store::Labels& held,
                           const std::vector<oci::Reference>& repositories);

}  // namespace prebake::bake
