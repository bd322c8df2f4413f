#include "agent/cli/stop_signals.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace prebake::cli {
namespace {

sigset_t stop_signals(Hangup hangup) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);  // sent by the destructor to end the waiting thread
    if (hangup == Hangup::reloads) sigaddset(&signals, SIGHUP);
    return signals;
}

/// Without the clean-up of a normal end. The shell's prompt gets a line of its own, below "^C".
[[noreturn]] void end_at_once(int signal) {
    if (::isatty(STDERR_FILENO) == 1) std::fputs("\n", stderr);
    std::_Exit(128 + signal);
}

}  // namespace

StopSignals::StopSignals(Hangup hangup) : hangup_(hangup) {
    const sigset_t signals = stop_signals(hangup_);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    thread_ = std::jthread([this](const std::stop_token& ended) { wait(ended); });
}

StopSignals::~StopSignals() {
    thread_.request_stop();
    pthread_kill(thread_.native_handle(), SIGUSR1);
}

void StopSignals::on_hangup(std::function<void()> call) {
    const std::scoped_lock lock(mutex_);
    on_hangup_ = std::move(call);
}

void StopSignals::wait(const std::stop_token& ended) {
    const sigset_t signals = stop_signals(hangup_);
    while (!ended.stop_requested()) {
        int signal = 0;
        if (sigwait(&signals, &signal) != 0 || signal == SIGUSR1) continue;
        if (signal == SIGHUP) {
            const std::scoped_lock lock(mutex_);
            if (on_hangup_) on_hangup_();
            continue;
        }
        if (received_ != 0) end_at_once(signal);
        received_ = signal;
        source_.request_stop();
    }
}

}  // namespace prebake::cli
