#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace prebake::cli {

enum class Hangup {
    ends,    ///< SIGHUP ends the process, as everywhere
    reloads  ///< it is a request to reload, as of daemons
};

/// Turns SIGINT and SIGTERM into a stop request; a second signal ends the process at once. Make it
/// before any other thread is started: they inherit the blocked signals, and only this object's
/// thread receives them.
class StopSignals {
  public:
    explicit StopSignals(Hangup hangup = Hangup::ends);
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    std::stop_token token() const { return source_.get_token(); }
    /// SIGINT or SIGTERM; 0 if none came.
    int received() const { return received_; }
    /// What to do at a SIGHUP, on the thread of this object, with Hangup::reloads.
    void on_hangup(std::function<void()> call);

  private:
    void wait(const std::stop_token& ended);

    std::stop_source source_;
    std::atomic<int> received_{0};
    const Hangup hangup_;
    std::mutex mutex_;
    std::function<void()> on_hangup_;
    std::jthread thread_;  // "signals": waits for a signal, does nothing else
};

}  // namespace prebake::cli
