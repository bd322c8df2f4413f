#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "agent/layer/contained.h"
#include "agent/layer/whiteouts.h"

namespace prebake::layer {

/// A directory that should have what a layer contains, as TreeWriter or containerd wrote it.
struct ComparedTree {
    int root = -1;                     ///< open
    std::span<const int> lowers = {};  ///< open directories of the lower layers, the nearest first
    Whiteouts whiteouts = Whiteouts::apply;  ///< as it was written
    /// Lower layers are as they should be. If not, attributes that this one has from them are not
    /// compared.
    bool are_lowers_sound = true;
    PathOpening opening = PathOpening::openat2_if_possible;
};

/// A file that is not as in its layer.
struct Difference {
    std::string path;  ///< in the layer, without a slash at its start; bytes of any kind
    std::string expected;
    std::string found;
};

struct Comparison {
    std::vector<Difference> differences;  ///< the first kMaxDifferences by their paths
    std::uint64_t total = 0;              ///< of all differences
    std::uint64_t files = 0;              ///< in the directory
    /// So much is missing, or is something else, that the comparison ended: there are more.
    bool is_cut_short = false;

    static constexpr std::size_t kMaxDifferences = 50;
};

}  // namespace prebake::layer
