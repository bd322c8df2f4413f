#pragma once

#include "agent/cli/commands.h"
#include "agent/identity/seal.h"

/// `prebake seal --at-shutdown`: the build is answered first, and sealed as the last thing before
/// the machine is off. The arguments wait in a file in /run, prebake-seal.service for its stop.
namespace prebake::cli {

/// Ends what orchestrates containers and removes these, which needs containerd running, and starts
/// the unit.
/// @throws Error failed_precondition where systemd is not the init system, or the unit fails.
void arm_seal(const Invocation& invocation, const SealArguments& arguments);

/// Nothing happens at the shutdown then. Not armed: nothing to do.
void disarm_seal(const Invocation& invocation);

/// What the unit runs. Seals only if it is armed and the machine goes down.
ExitCode carry_out_armed_seal(const Invocation& invocation, const SealArguments& arguments);

/// Seals and prints the report. In seal_command.cc.
v1::SealReport seal_now(const Invocation& invocation, const SealArguments& arguments,
                        identity::Occasion occasion);

}  // namespace prebake::cli
