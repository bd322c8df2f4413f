#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

namespace prebake {

/// The delays between the attempts of work that keeps failing: each is twice as long as the one
/// before, up to a limit.
class Backoff {
  public:
    static constexpr std::chrono::milliseconds kFirst{100};
    static constexpr std::chrono::milliseconds kMost{10'000};

    explicit Backoff(std::chrono::milliseconds first = kFirst,
                     std::chrono::milliseconds most = kMost)
        : first_(first), most_(most), delay_(first) {}

    /// The delay before the next attempt.
    std::chrono::milliseconds next() { return std::exchange(delay_, std::min(delay_ * 2, most_)); }
    /// After a success: next() starts with the first delay again.
    void reset() { delay_ = first_; }

  private:
    std::chrono::milliseconds first_;
    std::chrono::milliseconds most_;
    std::chrono::milliseconds delay_;
};

}  // namespace prebake
