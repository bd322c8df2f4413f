#pragma once

#include "agent/cli/commands.h"
#include "agent/identity/seal.h"

/// `prebake seal --at-shutdown`: returns at once, and seals as the last step before the machine
/// powers off. The arguments are in a file in /run; prebake-seal.service seals when it stops.
namespace prebake::cli {

/// There while a seal is armed.
inline constexpr const char* kArmedFile = "/run/prebake/seal-at-shutdown.json";

/// Stops what starts containers, removes the containers (this needs a running containerd), and
/// starts the unit.
/// @throws Error failed_precondition where systemd is not the init system, or the unit fails.
void arm_seal(const Invocation& invocation, const SealArguments& arguments);

/// Disarms it, and starts what arming it, or a seal, stopped. Does nothing if there is neither.
void disarm_seal(const Invocation& invocation);

/// What the unit runs. Seals only if it is armed and the machine is shutting down.
ExitCode carry_out_armed_seal(const Invocation& invocation, const SealArguments& arguments);

/// Seals and prints the report. In seal_command.cc.
v1::SealReport seal_now(const Invocation& invocation, const SealArguments& arguments,
                        identity::Occasion occasion);

}  // namespace prebake::cli
