#include "agent/daemon/timers.h"

#include <algorithm>

namespace prebake::daemon {

Timer::Time Timers::wake_up(Timer::Time latest, bool is_checked,
                            std::optional<Timer::Time> suspects) const {
    const Timer::Time next = check.or_else(publish.or_else(save.or_else(latest)));
    // Otherwise work that cannot be done yet would wake the loop repeatedly.
    if (!is_checked) return next;
    return list.or_else(budget.or_else(suspects ? std::min(*suspects, next) : next));
}

}  // namespace prebake::daemon
