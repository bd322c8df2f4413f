#pragma once

#include <string>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity {

/// Where containerds keep their state, whether it exists or not: `root` of
/// /etc/containerd/config.toml, else /var/lib/containerd; and those that dockerd starts itself,
/// which are in its data roots. @throws Error as docker_settings().
std::vector<std::string> containerd_roots(const machine::Root& root);

}  // namespace prebake::identity
