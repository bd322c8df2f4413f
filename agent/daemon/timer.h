#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace prebake::daemon {

/// A moment at which something is to be done; of several wishes the earliest counts.
class Timer {
  public:
    using Time = std::chrono::steady_clock::time_point;

    void set(Time when) { when_ = when_ ? std::min(*when_, when) : when; }
    void clear() { when_.reset(); }
    bool is_due(Time now) const { return when_ && *when_ <= now; }
    Time or_else(Time other) const { return when_ ? std::min(*when_, other) : other; }

  private:
    std::optional<Time> when_;
};

/// How long to wait before what has failed is tried again: twice as long each time in a row.
class Backoff {
  public:
    static constexpr std::chrono::milliseconds kFirst{100};
    static constexpr std::chrono::milliseconds kMost{10'000};

    explicit Backoff(std::chrono::milliseconds first = kFirst,
                     std::chrono::milliseconds most = kMost)
        : first_(first), most_(most), delay_(first) {}

    std::chrono::milliseconds next() { return std::exchange(delay_, std::min(delay_ * 2, most_)); }
    void reset() { delay_ = first_; }

  private:
    std::chrono::milliseconds first_;
    std::chrono::milliseconds most_;
    std::chrono::milliseconds delay_;
};

}  // namespace prebake::daemon
