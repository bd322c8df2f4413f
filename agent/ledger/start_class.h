#pragma once

#include <cstdint>

/// How much of a container start came from the bake. Pure.
namespace prebake::ledger {

enum class StartClass {
    hit,      ///< the image was baked for this namespace, and no layer was pulled since
    partial,  ///< some of its bytes come from the bake
    miss,
};

struct StartFacts {
    bool is_baked_image = false;  ///< for this namespace
    bool has_pulled_layer = false;
    std::uint64_t baked_bytes = 0;  ///< of the layers that come from the bake
};

StartClass classify(const StartFacts& facts);

}  // namespace prebake::ledger
