#pragma once

#include <string>
#include <vector>

#include "agent/bake/resolve.h"
#include "agent/containerd/connection.h"
#include "agent/oci/digest.h"

namespace prebake::bake {

/// True if the CRI of this machine would pick this very manifest from the image's index. It reads
/// images for its own machine only: one for another machine is none to it.
bool cri_selects(const ResolvedImage& image);

/// Asks CRI for the image under every spelling. CRI learns of new images from containerd's events,
/// so an answer may take a moment; after ten seconds it counts as no.
/// @throws Error failed_precondition that names the spelling which CRI does not resolve, or
/// resolves to another image than `config`.
void require_cri_resolves(const containerd::Connection& connection,
                          const std::vector<std::string>& spellings, const oci::Digest& config);

}  // namespace prebake::bake
