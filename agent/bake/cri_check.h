#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/bake/resolve.h"
#include "agent/containerd/connection.h"
#include "agent/oci/digest.h"

namespace prebake::bake {

/// True if the CRI of this machine selects this manifest from the image's index: it only finds
/// images for the platform of its own machine. A newer containerd may find more (linux/amd64/v3).
bool cri_selects(const ResolvedImage& image);

/// How long CRI may take to learn about a new image from containerd's events.
inline constexpr std::chrono::milliseconds kCriPatience{10'000};
/// The same, if it probably does not select the image at all.
inline constexpr std::chrono::milliseconds kCriDoubt{500};

/// Asks CRI for the image under every spelling, until it knows all of them or `patience` is over.
/// @throws Error failed_precondition naming the spelling that CRI does not resolve to the image
/// with this config.
void require_cri_resolves(const containerd::Connection& connection,
                          const std::vector<std::string>& spellings, const oci::Digest& config,
                          std::chrono::milliseconds patience);

}  // namespace prebake::bake
