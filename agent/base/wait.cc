#include "agent/base/wait.h"

#include <condition_variable>
#include <mutex>

#include "agent/base/error.h"

namespace prebake {

void sleep_for(std::chrono::milliseconds duration, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never_notified;
    std::unique_lock lock(mutex);
    never_notified.wait_for(lock, stop, duration, [] { return false; });
    throw_if_stopped(stop);
}

void throw_if_stopped(const std::stop_token& stop) {
    if (stop.stop_requested()) throw Error(Errc::cancelled, "interrupted");
}

}  // namespace prebake
