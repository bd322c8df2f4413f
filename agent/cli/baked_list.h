#pragma once

#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/node.pb.h"
#include "proto/prebake/v1/report.pb.h"

namespace prebake::cli {

/// What was baked, an image for each name and platform, in the order of the record: pinned and used
/// as the daemon says, or, of an image that it does not name, as baked and as counted. Pure.
v1::BakedImages baked_list(const v1::BakeRecord& record, const v1::NodeImages& daemon,
                           const v1::Ledger& counted);

}  // namespace prebake::cli
