#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

namespace prebake::cli {

enum class Hangup {
    ends,    ///< SIGHUP ends the process, as usual
    reloads  ///< SIGHUP requests a reload, as for daemons
};

/// Turns SIGINT and SIGTERM into a stop request. A second signal ends the process at once. Create
/// it before any other thread: other threads inherit the blocked signals, so that only the thread
/// of this object receives them.
class StopSignals {
  public:
    explicit StopSignals(Hangup hangup = Hangup::ends);
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    std::stop_token token() const { return source_.get_token(); }
    /// SIGINT or SIGTERM; 0: none was received.
    int received() const { return received_; }
    /// Called on SIGHUP, on the thread of this object, with Hangup::reloads.
    void on_hangup(std::function<void()> call);

  private:
    void wait(const std::stop_token& ended);

    std::stop_source source_;
    std::atomic<int> received_{0};
    const Hangup hangup_;
    std::mutex mutex_;
    std::function<void()> on_hangup_;
    std::jthread thread_;  // "signals": only waits for signals
};

}  // namespace prebake::cli
