#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "agent/daemon/loop_states.h"

namespace prebake::daemon {

/// When something is due. If it is set several times, the earliest time counts.
class Timer {
  public:
    using Time = std::chrono::steady_clock::time_point;

    void set(Time when) { when_ = when_ ? std::min(*when_, when) : when; }
    /// Also if that is later than before.
    void move(Time when) { when_ = when; }
    void clear() { when_.reset(); }
    bool is_due(Time now) const { return when_ && *when_ <= now; }
    std::optional<Time> when() const { return when_; }

  private:
    std::optional<Time> when_;
};

/// What the loop has to do, and when. Pure.
struct Timers {
    Timer ask;        ///< containerd whether it answers
    Timer probe;      ///< the same in a session, after a long silence
    Timer check;      ///< all images
    Timer list;       ///< what runs
    Timer budget;     ///< of the pins, and the lease on what was baked
    Timer publish;    ///< the status
    Timer save;       ///< the ledger
    Timer hydration;  ///< read how far it is

    /// When the loop has to wake up: at the first work that is possible in `state`, and at
    /// `latest`. `suspects` is when single images have to be checked.
    Timer::Time wake_up(Timer::Time latest, LoopState state,
                        std::optional<Timer::Time> suspects) const;

    /// The session with containerd has ended. Other work stays planned.
    void end_session();
};

}  // namespace prebake::daemon
