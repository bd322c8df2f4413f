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

namespace prebake::daemon {

/// What the keeper wakes up for.
struct Subscribed {};  ///< from here on no event is missed
struct StreamEnded {   ///< containerd is gone, or we were stopped
    Error error;
    std::chrono::system_clock::time_point at = std::chrono::system_clock::now();
};
struct EventsLost {  ///< more than the queue holds: list everything again
    std::chrono::system_clock::time_point since = {};  ///< the first that is lost
};
/// A request to read the record and the claim again, and to check all images if `checks` says so.
struct ReloadAsked {
    bool is_check_wanted = false;
};
using Wakeup = std::variant<containerd::Event, Subscribed, StreamEnded, EventsLost, ReloadAsked>;

/// Between the thread that reads containerd's events and the keeper. Bounded: containerd queues for
/// a slow reader without bound, so the reader never waits; what does not fit is dropped, all of
/// what waits with it, and EventsLost stands in its place. Thread-safe.
class EventQueue {
  public:
    explicit EventQueue(std::size_t limit) : limit_(limit) {}

    void push(Wakeup wakeup);
    /// The next one; nothing at the deadline.
    std::optional<Wakeup> pop(std::chrono::steady_clock::time_point deadline);

  private:
    const std::size_t limit_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Wakeup> waiting_;
};

}  // namespace prebake::daemon
