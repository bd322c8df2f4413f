#pragma once

#include <functional>
#include <stop_token>

namespace prebake::bake {

/// Runs `work`, calls to containerd that may be repeated. If containerd goes away during them
/// (Error unavailable), waits until it answers again and runs `work` again, so that a bake survives
/// a restart of containerd. `ask` is a call that throws while containerd does not answer; `on_wait`
/// is called when the waiting begins.
/// @throws Error unavailable if containerd does not return within a minute, or goes away too often.
void outlast_restart(const std::function<void()>& ask, const std::stop_token& stop,
                     const std::function<void()>& on_wait, const std::function<void()>& work);

}  // namespace prebake::bake
