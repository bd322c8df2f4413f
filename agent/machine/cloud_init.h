#pragma once

#include <string>

#include "agent/machine/root.h"

namespace prebake::machine {

/// True if cloud-init is installed and runs in this boot: by the result of its generator
/// (/run/cloud-init/enabled or disabled), or before that by its switches.
/// @throws Error permission_denied, io.
bool cloud_init_is_active(const Root& root);

/// True if the kernel's command line disables cloud-init. @throws Error permission_denied, io.
bool cloud_init_is_disabled_by_kernel(const Root& root);

/// True if it disables only cloud-init's network configuration. @throws Error permission_denied,
/// io.
bool cloud_init_network_is_disabled_by_kernel(const Root& root);

/// The instance ID that cloud-init uses; empty if it has none that distinguishes machines. Valid
/// only if cloud-init is active, and after it has run.
std::string cloud_init_instance_id(const Root& root);

}  // namespace prebake::machine
