#pragma once

#include <string>
#include <vector>

#include "agent/bake/resolve.h"
#include "agent/containerd/connection.h"
#include "agent/oci/digest.h"

namespace prebake::bake {

/// True if the CRI of this machine would select this manifest from the image's index. It only finds
/// images for the platform of its own machine.
bool cri_selects(const ResolvedImage& image);

/// Asks CRI for the image under every spelling. CRI learns about new images from containerd's
/// events, so it may take a moment until it knows them; the limit is ten seconds for all.
/// @throws Error failed_precondition naming the spelling that CRI does not resolve to the image
/// with this config.
void require_cri_resolves(const containerd::Connection& connection,
                          const std::vector<std::string>& spellings, const oci::Digest& config);

}  // namespace prebake::bake
