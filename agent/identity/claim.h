#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

/// The claim in a state directory (inside the root); nothing if there is none. Changes nothing.
/// @throws Error corrupt, too_large, permission_denied, io; unsupported for the schema of a later
/// version.
std::optional<v1::Claim> find_claim(const machine::Root& root, std::string_view state_dir);

/// The claim in a state directory (inside the root); UNCLAIMED if there is none. A corrupt file is
/// renamed to claim.json.corrupt and reported in `warning`: nothing is lost, and the machine boots.
/// @throws Error permission_denied, io; unsupported for the schema of a later version.
v1::Claim read_claim(const machine::Root& root, std::string_view state_dir, std::string& warning);

/// Replaces it durably, 0644. @throws Error no_space, permission_denied, io.
void write_claim(const machine::Root& root, std::string_view state_dir, const v1::Claim& claim);

/// Other files in a state directory that belong to the machine which wrote them: the daemon's
/// counts, which name their instance, what its boot has read, and what was read ahead of its disk,
/// which a clone has yet to read. A seal removes them. The bake record stays.
inline constexpr std::array<std::string_view, 5> kMachinesOwnFiles{
    "ledger.json", "ledger.json.corrupt", "ledger.json.newer", "boot-trace.json", "hydration.json"};

/// What a boot has to do.
enum class Decision {
    already_claimed,    ///< by this instance: nothing to do
    claim,              ///< a sealed image, or one that was never claimed: claim it
    clone_of_unsealed,  ///< another instance's identity is here: remove it, then claim
    unsealed_in_place,  ///< the sealed machine itself booted again: claim, and report it
    resume,             ///< a first boot of this instance was interrupted: continue
    deferred,           ///< the instance is not known yet: wait for the network
};
std::string_view to_string(Decision decision);

/// Whether more may become known about the instance later, from a metadata service.
enum class Knowledge { preliminary, final };

/// `current` is this machine. If the instance is unknown, the claim is kept: a host that loses its
/// keys at every boot is worse than an undetected clone. The claim then has instance_unknown. Pure.
Decision decide(const v1::Claim& claim, const v1::Instance& current, Knowledge knowledge);

/// Records the machine on which images are baked, so that a clone of it is detected even if it was
/// not sealed. Changes nothing unless the claim is UNCLAIMED.
void note_builder(const machine::Root& root, std::string_view state_dir,
                  const v1::Instance& builder);

}  // namespace prebake::identity
