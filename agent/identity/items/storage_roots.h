#pragma once

#include <string>

#include "agent/machine/root.h"

namespace prebake::identity {

/// Where dockerd keeps its state: "data-root" (formerly "graph") of /etc/docker/daemon.json, else
/// /var/lib/docker.
std::string docker_root(const machine::Root& root);

/// Where containerd keeps its state: `root` of /etc/containerd/config.toml, else
/// /var/lib/containerd.
std::string containerd_root(const machine::Root& root);

}  // namespace prebake::identity
