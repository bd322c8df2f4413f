#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

#include "agent/oci/manifest.h"

namespace prebake::trust {

/// The image verifier programs of containerd 2.x (docs/image-verification.md), which it runs for
/// each image that it pulls. What a bake writes into its store is not pulled.
struct VerifierPrograms {
    std::filesystem::path directory = {};  ///< all of it are programs; empty: there are none
    std::int64_t most = 10;                ///< further ones are not run; negative: no limit
    std::chrono::milliseconds time_limit{10'000};  ///< of each
};

/// Runs the programs as containerd does, in the order of their names, until one rejects the image.
/// A directory that does not exist has none.
/// @throws Error untrusted with the program and its reason; if one cannot be run, does not end in
/// time, or is killed: failed_precondition or timed_out, because containerd rejects then, too.
void require_accepted(const VerifierPrograms& programs, const std::string& name,
                      const oci::Descriptor& image, const std::stop_token& stop);

}  // namespace prebake::trust
