#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/bake/event.h"
#include "agent/bake/present_content.h"
#include "agent/bake/resolve.h"
#include "agent/base/error.h"

namespace prebake::bake {

/// One image of the plan: resolved, or the reason why not.
struct PlannedImage {
    ImageRequest request;
    std::optional<ResolvedImage> image;
    std::optional<Error> problem;

    std::uint64_t compressed_bytes = 0;  ///< index, manifest, config and layers
    std::uint64_t bytes_present = 0;     ///< the part of these that need not be fetched
    bool unpacked = false;               ///< already, in all its namespaces
};

struct Plan {
    std::vector<PlannedImage> images;
    std::uint64_t bytes_to_fetch = 0;  ///< each blob counted once
    std::uint64_t bytes_present = 0;
    std::uint64_t estimated_disk_bytes = 0;  ///< about what the bake will add
    std::uint64_t least_snapshot_bytes = 0;  ///< a lower bound of what unpacking will add
    /// The part of `bytes_to_fetch` that dockerd pulls, and a lower bound of what its disk needs.
    /// It may have some of the layers.
    std::uint64_t engine_bytes = 0;
    std::vector<PlannedWork> layers;     ///< of all images, each once
    std::vector<PlannedWork> snapshots;  ///< of all images, each once
};

/// Which layers of `image` must be in the store before it gets its names. A layer that is unpacked
/// already is not needed if the image does not keep its layers.
std::vector<std::size_t> layers_needed(const ResolvedImage& image, const PresentContent& present);

/// Adds up what the images need and what is present. Pure.
Plan make_plan(std::vector<PlannedImage> images, const PresentContent& present);

}  // namespace prebake::bake
