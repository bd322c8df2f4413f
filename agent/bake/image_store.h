#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/bake/resolve.h"

namespace prebake::bake {

/// What baking one image has done so far.
struct ImageChanges {
    std::uint64_t bytes_fetched = 0;
    bool changed = false;       ///< something was fetched, unpacked or named
    bool cri_resolves = false;  ///< CRI resolves every spelling of the image
    /// The names that dockerd's graph driver has of it.
    std::vector<std::string> engine_names = {};
};

/// A store of this machine that images are baked into: containerd's namespaces (also dockerd's, if
/// it keeps its images there), or dockerd's graph driver. Thread-safe.
class ImageStore {
  public:
    virtual ~ImageStore() = default;
    /// Makes a resolved image usable in this store if its request is for it, and updates `changes`
    /// as it proceeds. If anything fails, no new name points at an incomplete image.
    /// @throws Error; what was finished is kept for the next bake.
    virtual void bake(const ResolvedImage& image, ImageChanges& changes) = 0;
};

}  // namespace prebake::bake
