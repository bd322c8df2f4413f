#pragma once

#include <string>

#include "agent/machine/root.h"

namespace prebake::machine {

/// True if cloud-init is installed and will run, or has run, in this boot: by the verdict of its
/// generator (/run/cloud-init/enabled or disabled), before that by its switches.
/// @throws Error permission_denied, io.
bool cloud_init_is_active(const Root& root);

/// The instance id that cloud-init goes by; empty if it knows none that tells machines apart.
/// Meaningful only where it is active, and after it has run.
std::string cloud_init_instance_id(const Root& root);

}  // namespace prebake::machine
