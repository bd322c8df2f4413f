#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/bake/resolve.h"
#include "agent/base/error.h"

namespace prebake::bake {

/// What containerd holds already of the things that a list of images is made of.
struct StoreContents {
    std::set<std::pair<std::string, oci::Digest>> blobs;      ///< (namespace, digest)
    std::set<std::pair<std::string, oci::Digest>> snapshots;  ///< (namespace, chain ID)

    bool has_blob(const ImageRequest& request, const oci::Digest& digest) const;
    bool has_snapshot(const ImageRequest& request, const oci::Digest& chain_id) const;
};

/// One image of the plan: resolved, or the reason why not.
struct PlannedImage {
    ImageRequest request;
    std::optional<ResolvedImage> image;
    std::optional<Error> problem;

    std::uint64_t compressed_bytes = 0;  ///< index, manifest, config and layers
    std::uint64_t bytes_present = 0;     ///< of these, not to be fetched
    bool unpacked = false;               ///< in all its namespaces already
};

struct Plan {
    std::vector<PlannedImage> images;
    std::uint64_t bytes_to_fetch = 0;  ///< each blob counted once
    std::uint64_t bytes_present = 0;
    std::uint64_t estimated_disk_bytes = 0;  ///< about what the bake will add
    std::uint64_t least_snapshot_bytes = 0;  ///< what unpacking will add at the very least
};

/// Which layers of `image` have to be in the store before it can be named. A layer whose snapshot
/// is there is not needed when it would only be dropped again.
std::vector<std::size_t> layers_needed(const ResolvedImage& image, const StoreContents& store);

/// Adds up what the images need and what is there. Pure.
Plan make_plan(std::vector<PlannedImage> images, const StoreContents& store);

}  // namespace prebake::bake
