#pragma once

#include <optional>

#include "agent/daemon/timer.h"

namespace prebake::daemon {

/// What the keeper has to do, and when. Pure.
struct Timers {
    Timer check;    ///< all images
    Timer list;     ///< what runs; needs checked images
    Timer budget;   ///< of the pins; likewise
    Timer publish;  ///< what is known
    Timer save;     ///< the ledger

    /// When to wake up: for whatever comes first, of those things that can be done then, and at
    /// `latest`. `suspects` is when single images are to be checked, which needs checked ones too.
    Timer::Time wake_up(Timer::Time latest, bool is_checked,
                        std::optional<Timer::Time> suspects) const;

    /// The session with containerd is over; what is not about it stays.
    void end_session() {
        check.clear();
        list.clear();
        budget.clear();
    }
};

}  // namespace prebake::daemon
