#pragma once

#include <string>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity {

enum class ConsulRole { client, server };

/// The usual data directories in which an agent of that role has run: a server's holds raft's log.
std::vector<std::string> consul_directories(const machine::Root& root, ConsulRole role);

}  // namespace prebake::identity
