#pragma once

#include <cstdint>

#include "agent/base/timestamp.h"
#include "agent/ledger/catalog.h"
#include "agent/ledger/ledger_totals.h"
#include "agent/store/baked_images.h"
#include "proto/prebake/v1/node.pb.h"

/// How much the baked images were used. Pure. Baked names of one image share their starts: CRI
/// knows a container's image by the first of them, and the second is not reported as unused.
namespace prebake::ledger {

struct ImageUsage {
    std::uint64_t starts = 0;
    Time last_used{};  ///< the epoch if it was never used
};

/// The ledger with `never_used`, the largest image first.
v1::Ledger report_of(const LedgerTotals& totals, const Catalog& catalog);

/// All zero if the image was not baked.
ImageUsage usage_of(const LedgerTotals& totals, const Catalog& catalog, const store::ImageKey& key);

}  // namespace prebake::ledger
