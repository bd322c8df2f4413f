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
    std::chrono::milliseconds max_delay{30'000};
    /// A longer Retry-After is an error at once. Many servers ask for a minute.
    std::chrono::milliseconds max_asked_delay{120'000};
};

struct RetryOptions {
    RetryPolicy retry;
    /// Called before each wait, with a line for people; from the thread that waits.
    std::function<void(const std::string&)> on_retry;
};

/// An Error about a response, with what the next attempt depends on. Private to this room: an error
/// that gets a context becomes a plain Error; throw_as() keeps what it knows.
class ResponseError : public Error {
  public:
    using Delay = std::optional<std::chrono::milliseconds>;

    ResponseError(const Error& error, int status, Delay retry_after)
        : Error(error), status_(status), retry_after_(retry_after) {}

    /// Of the response to the request itself, from the registry or a host that it redirects to;
    /// 0 for the response of a token service.
    int status() const { return status_; }
    /// The delay that the server asked for (Retry-After).
    Delay retry_after() const { return retry_after_; }

  private:
    int status_;
    Delay retry_after_;
};

/// Throws `explained` as what `original` is: as a ResponseError like it, or as a plain Error.
[[noreturn]] void throw_as(const Error& original, const Error& explained);

/// A Retry-After header: seconds, or an HTTP-date (RFC 9110 section 5.6.7) seen from `now`. Nothing
/// if it is neither; zero for a date in the past.
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
    /// Whether the attempt to come is the last one, after more than one without progress.
    bool is_last_of_several() const { return made_ > 1 && made_ + 1 >= options_.retry.attempts; }
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
