#pragma once

#include <functional>

#include "agent/containerd/connection.h"
#include "agent/containerd/event.h"

namespace prebake::containerd {

/// Follows containerd.services.events.v1 for all namespaces. `on_subscribed` is called once, when
/// no later event can be missed. (containerd does not report when a subscription is active; an
/// event of our own that arrives shows it.) Then `on_event` is called for each event, in
/// containerd's order. Both are called on this thread. containerd queues events for a slow reader
/// without limit, so `on_event` must return at once. Never returns. @throws Error unavailable if
/// containerd is gone; cancelled.
[[noreturn]] void follow_events(const Connection& connection,
                                const std::function<void()>& on_subscribed,
                                const std::function<void(Event)>& on_event);

}  // namespace prebake::containerd
