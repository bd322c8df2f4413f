#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/bake/bake_lock.h"
#include "agent/bake/image_list.h"
#include "agent/cli/commands.h"
#include "agent/store/verify.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::cli {

/// The recorded images with findings, at the recorded digests, and CRI's sandbox image if that is a
/// finding. Not those whose names a client moved to another image: somebody meant that. Pure.
std::vector<bake::ImageRequest> requests_to_repair(const v1::BakeRecord& record,
                                                   const store::Verification& found);

/// Waits for another bake, or a repair by the daemon. Take it before the verification whose
/// findings are to be repaired. @throws Error timed_out, cancelled.
bake::BakeLock lock_for_repair(const Invocation& invocation);

/// Verifies again, and leaves out what is only a warning.
using FindAgain = std::function<store::Verification()>;

/// Repairs what was found: from this disk, or, if that has not everything, from the registry. An
/// image that cannot be repaired is logged, and does not stop the others. Snapshots with damaged
/// files are removed and unpacked again, unless something uses them. Returns what is found after.
/// @throws Error if nothing can be repaired: containerd does not answer.
store::Verification repair(const Invocation& invocation, const bake::BakeLock& lock,
                           const v1::BakeRecord& record, const store::Verification& found,
                           const FindAgain& find_again);

}  // namespace prebake::cli
