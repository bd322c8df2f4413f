#pragma once

#include "agent/cli/commands.h"

namespace prebake::cli {

/// Ends and removes every pod and container of containerd (all namespaces) and of Docker, so that
/// none of them is in the image that is made of this machine. Where neither runs there is nothing
/// to do. If `scope` has the items, Docker leaves its swarm first, which would start containers
/// again, and its build cache is removed.
/// @throws Error with the first thing that could not be removed, after trying all.
void remove_leftover_containers(const Invocation& invocation, const identity::SealScope& scope);

}  // namespace prebake::cli
