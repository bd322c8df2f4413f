#include "agent/bake/outlast.h"

#include <chrono>

#include "agent/base/error.h"
#include "agent/base/wait.h"

namespace prebake::bake {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kRestartPatience{60};
constexpr std::chrono::milliseconds kRestartPoll{200};
constexpr int kMaxRestarts = 5;

void wait_until_it_answers(const std::function<void()>& ask, const std::stop_token& stop) {
    const Clock::time_point deadline = Clock::now() + kRestartPatience;
    for (;;) {
        try {
            return ask();
        } catch (const Error& error) {
            if (!is_retryable(error.code()) || Clock::now() >= deadline) throw;
        }
        sleep_for(kRestartPoll, stop);
    }
}

}  // namespace

void outlast_restart(const std::function<void()>& ask, const std::stop_token& stop,
                     const std::function<void()>& on_wait, const std::function<void()>& work) {
    for (int restart = 0;; ++restart) {
        try {
            return work();
        } catch (const Error& error) {
            if (error.code() != Errc::unavailable || restart == kMaxRestarts) throw;
        }
        on_wait();
        wait_until_it_answers(ask, stop);
    }
}

}  // namespace prebake::bake
