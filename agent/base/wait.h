#pragma once

#include <chrono>
#include <stop_token>

namespace prebake {

/// Sleeps for `duration` or until a stop is requested, whichever comes first.
/// @throws Error cancelled when a stop was requested before or during the sleep.
void sleep_for(std::chrono::milliseconds duration, const std::stop_token& stop);

/// @throws Error cancelled when a stop was requested.
void throw_if_stopped(const std::stop_token& stop);

}  // namespace prebake
