#include "agent/daemon/timers.h"

namespace prebake::daemon {

Timer::Time Timers::wake_up(Timer::Time latest, LoopState state,
                            std::optional<Timer::Time> suspects) const {
    Timer::Time next = latest;
    // Work that is not possible would wake the loop without end.
    const auto add = [&](std::optional<Timer::Time> when, LoopWork work) {
        if (when && is_possible(state, work)) next = std::min(next, *when);
    };
    add(ask.when(), LoopWork::ask);
    add(probe.when(), LoopWork::probe);
    add(check.when(), LoopWork::check);
    add(list.when(), LoopWork::list);
    add(suspects, LoopWork::suspects);
    add(budget.when(), LoopWork::budget);
    add(publish.when(), LoopWork::publish);
    add(save.when(), LoopWork::save);
    add(hydration.when(), LoopWork::hydration);
    return next;
}

void Timers::end_session() {
    for (Timer* timer : {&probe, &check, &list, &budget}) timer->clear();
}

}  // namespace prebake::daemon
