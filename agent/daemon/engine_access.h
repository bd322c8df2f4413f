#pragma once

#include "agent/daemon/engine_watch.h"
#include "agent/daemon/node_options.h"

namespace prebake::daemon {

/// How a node reaches its dockerd.
EngineAccess engine_access(const NodeLoopOptions& options);

}  // namespace prebake::daemon
