#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

/// The claim in a state directory (inside the root); UNCLAIMED if there is none. A file that cannot
/// be read as one is renamed to claim.json.corrupt and named in `warning`: nothing is lost, and the
/// machine boots.
/// @throws Error permission_denied, io; unsupported for the schema of a later version.
v1::Claim read_claim(const machine::Root& root, std::string_view state_dir, std::string& warning);

/// Replaces it durably, 0644. @throws Error no_space, permission_denied, io.
void write_claim(const machine::Root& root, std::string_view state_dir, const v1::Claim& claim);

/// What else lies in a state directory and is of the machine that wrote it: the daemon's counts,
/// which name their instance. They go with a seal; the bake record stays.
inline constexpr std::array<std::string_view, 3> kMachinesOwnFiles{
    "ledger.json", "ledger.json.corrupt", "ledger.json.newer"};

/// What a boot has to do.
enum class Decision {
    already_claimed,    ///< by this instance: nothing
    claim,              ///< a sealed image, or one that was never claimed: claim it
    clone_of_unsealed,  ///< another instance's identity is here: remove it, then claim
    unsealed_in_place,  ///< the sealed machine itself booted again: claim, and say so
    resume,             ///< a first boot of this instance was interrupted: go on
    deferred,           ///< who this is cannot be known yet: wait for the network
};
std::string_view to_string(Decision decision);

/// Whether more can be learned about the instance later (a metadata service may answer).
enum class Knowledge { preliminary, final };

/// Pure. `current` is this machine. The claim of an unknown instance is kept rather than renewed: a
/// host that loses its keys at every boot is worse than a clone that is not noticed, and the claim
/// says so (instance_unknown).
Decision decide(const v1::Claim& claim, const v1::Instance& current, Knowledge knowledge);

/// Notes the machine on which images are baked, so that a clone of it is known for one even if
/// nobody seals it. Changes nothing unless the claim is UNCLAIMED.
void note_builder(const machine::Root& root, std::string_view state_dir,
                  const v1::Instance& builder);

}  // namespace prebake::identity
