#pragma once

#include <functional>

#include "agent/containerd/connection.h"

namespace prebake::bake {

/// Runs `work`, calls to containerd that may be repeated. When containerd goes away in the middle,
/// waits until its socket answers again and runs it again, so that a bake outlives a restart of
/// the daemon. `on_wait` is called when the waiting begins.
/// @throws Error unavailable when containerd stays away for a minute, or leaves time after time.
void outlast_restart(const containerd::Connection& connection, const std::function<void()>& on_wait,
                     const std::function<void()>& work);

}  // namespace prebake::bake
