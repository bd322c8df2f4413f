#include "agent/registry/retry.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <iomanip>
#include <locale>
#include <sstream>

#include "agent/base/format.h"
#include "agent/base/wait.h"

namespace prebake::registry {
namespace {

using std::chrono::milliseconds;

/// Longer waits are refused anyway; the limit prevents overflows.
constexpr std::chrono::seconds kFarAway = std::chrono::hours(24 * 365);

/// Since 1970. The preferred form, and the two that old servers send.
std::optional<std::chrono::seconds> parse_http_date(std::string_view text) {
    constexpr std::size_t kShortest = sizeof "Sun Nov  6 08:49:37 1994" - 1;
    if (text.size() < kShortest) return std::nullopt;  // std::get_time accepts a part
    for (const char* const form :
         {"%a, %d %b %Y %H:%M:%S GMT", "%a, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"}) {
        std::tm date{};
        std::istringstream stream{std::string(text)};
        stream.imbue(std::locale::classic());
        stream >> std::get_time(&date, form);
        if (!stream.fail() && stream.peek() == std::istringstream::traits_type::eof()) {
            return std::chrono::seconds(::timegm(&date));
        }
    }
    return std::nullopt;
}

std::optional<milliseconds> asked_delay(const Error& error) {
    const auto* response = dynamic_cast<const ResponseError*>(&error);
    return response == nullptr ? std::nullopt : response->retry_after();
}

}  // namespace

void throw_as(const Error& original, const Error& explained) {
    if (const auto* response = dynamic_cast<const ResponseError*>(&original)) {
        throw ResponseError(explained, response->status(), response->retry_after());
    }
    throw Error(explained);
}

std::optional<milliseconds> parse_retry_after(std::string_view text,
                                              std::chrono::system_clock::time_point now) {
    if (!text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) {
        long long seconds = 0;
        const auto [end, failure] =
            std::from_chars(text.data(), text.data() + text.size(), seconds);
        if (failure != std::errc{}) return kFarAway;
        return std::min<std::chrono::seconds>(std::chrono::seconds(seconds), kFarAway);
    }
    const auto seconds = parse_http_date(text);
    if (!seconds) return std::nullopt;
    // In whole seconds: system_clock's own nanoseconds end in the year 2262.
    const auto wait = *seconds - std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
    return std::clamp<std::chrono::seconds>(wait, std::chrono::seconds(0), kFarAway);
}

std::optional<milliseconds> retry_delay(const RetryPolicy& policy, int attempts_made, Errc outcome,
                                        std::optional<milliseconds> retry_after, double jitter) {
    if (!is_retryable(outcome) || attempts_made >= policy.attempts) return std::nullopt;
    if (retry_after && *retry_after > policy.max_asked_delay) return std::nullopt;
    const double doubled =
        std::ldexp(static_cast<double>(policy.first_delay.count()), std::max(attempts_made, 1) - 1);
    const double capped = std::min(doubled, static_cast<double>(policy.max_delay.count()));
    const milliseconds backoff(std::llround(capped * (1 + jitter) / 2));
    return std::max(backoff, retry_after.value_or(milliseconds(0)));
}

Attempts::Attempts(const RetryOptions& options, std::string subject, std::stop_token stop)
    : options_(options), subject_(std::move(subject)), stop_(std::move(stop)) {}

bool Attempts::wait_after(const Error& error) {
    ++made_;
    const double jitter = std::uniform_real_distribution<double>(0, 1)(random_);
    const auto delay = retry_delay(options_.retry, made_, error.code(), asked_delay(error), jitter);
    if (!delay) return false;
    throw_if_stopped(stop_);
    if (options_.on_retry) {
        options_.on_retry(subject_ + ": " + error.message() + "; retrying in " +
                          format_duration(*delay) + " (attempt " + std::to_string(made_ + 1) +
                          " of " + std::to_string(options_.retry.attempts) + ")");
    }
    sleep_for(*delay, stop_);
    return true;
}

Error Attempts::final_error(const Error& error) const {
    if (!is_retryable(error.code())) return error;
    const auto asked = asked_delay(error);
    if (asked && *asked > options_.retry.max_asked_delay) {
        return Error(error.code(),
                     error.message() + " (it asks to retry in " + format_duration(*asked) + ")",
                     error.next_step());
    }
    if (made_ < 2) return error;
    return Error(error.code(), error.message() + " (" + std::to_string(made_) + " attempts)",
                 error.next_step());
}

}  // namespace prebake::registry
