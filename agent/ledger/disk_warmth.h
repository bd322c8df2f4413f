#pragma once

#include <optional>

#include "agent/base/timestamp.h"

namespace prebake::ledger {

/// Of a disk that loads lazily: whether a container that starts has to wait for it.
struct DiskWarmth {
    /// When everything that recordings saw was read; nothing: not yet.
    std::optional<Time> hydrated_at = {};
};

}  // namespace prebake::ledger
