#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/error.h"

namespace prebake::registry {

struct RetryPolicy {
    int attempts = 5;  ///< of one request, the first included; progress in a blob resets the count
    std::chrono::milliseconds first_delay{500};
    std::chrono::milliseconds max_delay{30'000};  ///< a longer Retry-After is an error at once
};

struct RetryOptions {
    RetryPolicy retry;
    /// Called before each wait, with a line for people; from the thread that waits.
    std::function<void(const std::string&)> on_retry;
};

/// An Error with the delay that the server asked for (Retry-After). Private to this room: an error
/// that gets a context becomes a plain Error.
class RetryLaterError : public Error {
  public:
    RetryLaterError(const Error& error, std::chrono::milliseconds retry_after)
        : Error(error), retry_after_(retry_after) {}
    std::chrono::milliseconds retry_after() const { return retry_after_; }

  private:
    std::chrono::milliseconds retry_after_;
};

/// A Retry-After header: seconds, or an HTTP-date (RFC 9110 section 5.6.7, its preferred form) seen
/// from `now`. Nothing if it is neither; zero for a date in the past.
std::optional<std::chrono::milliseconds> parse_retry_after(
    std::string_view text, std::chrono::system_clock::time_point now);

/// How long to wait after `attempts_made` attempts, the last of which ended with `outcome`.
/// Nothing: give up. The delay doubles from first_delay to max_delay; `jitter` in [0, 1) places it
/// in the upper half of that, so that the machines of a fleet do not retry in step.
std::optional<std::chrono::milliseconds> retry_delay(
    const RetryPolicy& policy, int attempts_made, Errc outcome,
    std::optional<std::chrono::milliseconds> retry_after, double jitter);

/// Counts the attempts at one piece of work. Use from one thread.
class Attempts {
  public:
    /// `subject` names the work in the lines for on_retry. `options` must outlive this.
    Attempts(const RetryOptions& options, std::string subject, std::stop_token stop);

    /// Waits until the next attempt is due and returns true; returns false if there is none.
    /// @throws Error cancelled.
    bool wait_after(const Error& error);
    /// The error to give up with: `error`, and why there is no further attempt.
    Error final_error(const Error& error) const;
    /// Progress was made: resets the count.
    void progressed() { made_ = 0; }

  private:
    const RetryOptions& options_;
    std::string subject_;
    std::stop_token stop_;
    std::minstd_rand random_{std::random_device{}()};
    int made_ = 0;
};

/// What `work` returns, after as many attempts as the policy allows.
template <typename Work>
auto with_retries(Attempts attempts, Work&& work) {
    for (;;) {
        try {
            return work();
        } catch (const Error& error) {
            if (!attempts.wait_after(error)) throw attempts.final_error(error);
        }
    }
}

}  // namespace prebake::registry
