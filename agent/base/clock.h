#pragma once

#include <chrono>
#include <functional>

#include "agent/base/boot.h"

namespace prebake {

/// One moment, by every clock that we use.
struct Moment {
    std::chrono::steady_clock::time_point steady;  ///< for deadlines and intervals
    std::chrono::system_clock::time_point wall;    ///< for what people and files are shown
    std::chrono::nanoseconds uptime{};             ///< since the kernel started, sleep included
};

/// Where code gets the time from. Tests pass their own.
using TimeSource = std::function<Moment()>;

/// The real time.
inline Moment current_moment() {
    return {.steady = std::chrono::steady_clock::now(),
            .wall = std::chrono::system_clock::now(),
            .uptime = uptime()};
}

}  // namespace prebake
