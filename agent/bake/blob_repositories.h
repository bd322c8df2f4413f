#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/bake/resolve.h"
#include "agent/oci/digest.h"
#include "agent/oci/reference.h"

namespace prebake::bake {

/// For each blob of a bake, by (namespace, digest): the repositories of all images that have it.
using BlobRepositories = std::map<std::pair<std::string, oci::Digest>, std::vector<oci::Reference>>;

/// Adds the blobs of one image. Pure.
void add_repository(BlobRepositories& repositories, const ResolvedImage& image);

}  // namespace prebake::bake
