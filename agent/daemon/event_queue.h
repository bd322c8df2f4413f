#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <variant>

#include "agent/base/error.h"
#include "agent/containerd/events.h"
#include "agent/daemon/engine_news.h"

namespace prebake::daemon {

/// What the NodeLoop wakes up for, besides its timers: an event of containerd, or one of these.
struct Subscribed {};  ///< from here on no event is missed
struct StreamEnded {   ///< containerd is gone
    Error error;
    std::chrono::system_clock::time_point at = std::chrono::system_clock::now();
};
struct EventsLost {  ///< they did not fit into the queue: everything has to be listed again
    std::chrono::system_clock::time_point since = {};  ///< when the first lost event happened
};
struct ReloadRequested {           ///< of the bake record and the claim
    bool is_check_wanted = false;  ///< check the images even if the record is the same
};
struct HydrationChanged {};  ///< what prebake-hydrate.service or a bake has written
struct StopRequested {};
using Wakeup = std::variant<containerd::Event, Subscribed, StreamEnded, EventsLost, ReloadRequested,
                            HydrationChanged, StopRequested, EngineAnswered, EngineGone, EngineSeen,
                            EngineHappened>;

/// Between the threads that read events of containerd and of dockerd and the NodeLoop. They queue
/// for a slow reader, so the readers must never wait: if the queue is full, all events in it are
/// dropped, and EventsLost takes their place. Thread-safe.
class EventQueue {
  public:
    explicit EventQueue(std::size_t limit) : limit_(limit) {}

    void push(Wakeup wakeup);
    /// Waits for the next one; nothing if none comes until the deadline.
    std::optional<Wakeup> pop(std::chrono::steady_clock::time_point deadline);
    /// Drops what came from containerd, and what was lost. Returns the ReloadRequested that were
    /// in the queue, which are taken out, as one.
    std::optional<ReloadRequested> end_session();

  private:
    const std::size_t limit_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Wakeup> waiting_;
};

}  // namespace prebake::daemon
