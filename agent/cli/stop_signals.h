#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace prebake::cli {

/// Turns SIGINT and SIGTERM into a stop request; a second signal ends the process at once. Make it
/// before any other thread is started: they inherit the blocked signals, and only this object's
/// thread receives them.
class StopSignals {
  public:
    StopSignals();
    ~StopSignals();
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

    std::stop_token token() const { return source_.get_token(); }
    /// SIGINT or SIGTERM; 0 if none came.
    int received() const { return received_; }

  private:
    void wait(const std::stop_token& ended);

    std::stop_source source_;
    std::atomic<int> received_{0};
    std::jthread thread_;  // "signals": waits for a signal, does nothing else
};

}  // namespace prebake::cli
