#pragma once

#include <filesystem>
#include <vector>

#include "agent/hydrate/layer_cache.h"
#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// Directories of the image's layers, the bottom first. `lowers` has all of them, the uppermost
/// first, as overlayfs does.
std::vector<LayerDirectory> layer_directories(const v1::BakedImage& image,
                                              const std::vector<std::filesystem::path>& lowers);

/// Enters that the image was recorded now, once, for `seconds`.
void add_traced_image(const v1::BakedImage& image, double seconds, v1::ReadTrace& trace);

}  // namespace prebake::hydrate
