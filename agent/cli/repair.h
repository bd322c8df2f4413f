#pragma once

#include <string>
#include <vector>

#include "agent/bake/image_list.h"
#include "agent/cli/commands.h"
#include "agent/store/verify.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::cli {

/// The recorded images with findings, at the recorded digests, and CRI's sandbox image if that is a
/// finding. Not those whose names a client moved to another image: somebody meant that. Pure.
std::vector<bake::ImageRequest> requests_to_repair(const v1::BakeRecord& record,
                                                   const store::Verification& found);

/// Repairs what was found: from this disk, or, if that has not everything, from the registry. An
/// image that cannot be repaired is logged, and does not stop the others.
/// @throws Error if nothing can be repaired: containerd does not answer, another bake is running.
void repair(const Invocation& invocation, const v1::BakeRecord& record,
            const store::Verification& found, const store::VerifyOptions& options);

}  // namespace prebake::cli
