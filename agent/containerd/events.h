#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "agent/containerd/connection.h"

namespace prebake::containerd {

enum class EventKind {
    image_created,
    image_updated,
    image_deleted,  ///< not announced for garbage collection before 2.0
    snapshot_prepared,
    snapshot_committed,
    snapshot_removed,  ///< not announced for garbage collection before 1.7
    blob_deleted,
};

/// Something that happened in one namespace of containerd.
struct Event {
    EventKind kind = EventKind::image_created;
    std::chrono::system_clock::time_point at = {};  ///< by containerd's clock
    std::string ns = {};
    std::string object = {};       ///< the image's name, the snapshot's key, the blob's digest
    std::string parent = {};       ///< of a prepared snapshot
    std::string name = {};         ///< that a snapshot was committed under
    std::string snapshotter = {};  ///< of a snapshot; empty before 1.7
    Labels labels = {};            ///< of an image
};

/// Follows containerd.services.events.v1 for all namespaces. `on_subscribed` is called once, when
/// no later event can be missed any more (containerd does not say when a subscription is in effect:
/// an event of our own that comes back tells); then `on_event` for each event, in containerd's
/// order. Both are called on this thread. containerd queues for a slow reader without bound, so
/// `on_event` must return at once. Never returns. @throws Error unavailable when containerd goes
/// away; cancelled.
[[noreturn]] void follow_events(const Connection& connection,
                                const std::function<void()>& on_subscribed,
                                const std::function<void(Event)>& on_event);

}  // namespace prebake::containerd
