#pragma once

#include <cstdint>

/// What the bake had to do with a container start. Pure.
namespace prebake::ledger {

enum class StartClass {
    hit,      ///< the image was baked for this namespace, and all of it is as it was baked
    partial,  ///< some of its bytes come from the bake
    miss,
};

struct StartFacts {
    bool is_baked_image = false;  ///< in the record, for this namespace
    bool has_pulled_layer = false;
    std::uint64_t baked_bytes = 0;  ///< of the layers that come from the bake
};

StartClass classify(const StartFacts& facts);

}  // namespace prebake::ledger
