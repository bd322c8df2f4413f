#pragma once

#include <atomic>
#include <stop_token>
#include <string>
#include <thread>

#include "agent/daemon/event_queue.h"

namespace prebake::daemon {

/// Reads containerd's events into the queue, on a thread of its own: Subscribed first, then events,
/// and StreamEnded when containerd goes away. The destructor ends the thread.
class EventStream {
  public:
    EventStream(std::string address, EventQueue& queue);

    /// True as soon as containerd went away, also while StreamEnded still waits in the queue.
    bool has_ended() const { return has_ended_; }

  private:
    void follow(const std::stop_token& end);

    const std::string address_;
    EventQueue& queue_;
    std::atomic<bool> has_ended_ = false;
    std::jthread thread_;  // last: it uses the other members
};

}  // namespace prebake::daemon
