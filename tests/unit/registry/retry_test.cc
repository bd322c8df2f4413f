#include "agent/registry/retry.h"

#include <doctest/doctest.h>

namespace prebake::registry {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Delay = std::optional<milliseconds>;

TEST_CASE("the delay before the next attempt") {
    const RetryPolicy policy{.attempts = 5, .first_delay = 500ms, .max_delay = 30s};
    const RetryPolicy patient{.attempts = 100, .first_delay = 500ms, .max_delay = 30s};
    struct Row {
        std::string name;
        const RetryPolicy& policy;
        int attempts_made;
        Errc outcome;
        Delay retry_after;
        double jitter;
        Delay expected;
    };
    const Row rows[] = {
        {"first, least jitter", policy, 1, Errc::unavailable, {}, 0.0, 250ms},
        {"first, middle jitter", policy, 1, Errc::unavailable, {}, 0.5, 375ms},
        {"it doubles", policy, 2, Errc::unavailable, {}, 0.0, 500ms},
        {"and doubles", policy, 4, Errc::timed_out, {}, 0.0, 2000ms},
        {"the last attempt was made", policy, 5, Errc::unavailable, {}, 0.0, {}},
        {"more than all", policy, 6, Errc::unavailable, {}, 0.0, {}},
        {"capped", patient, 10, Errc::unavailable, {}, 0.0, 15s},
        {"no overflow", patient, 99, Errc::unavailable, {}, 0.999, 29'985ms},
        {"Retry-After above the backoff", policy, 1, Errc::rate_limited, 7s, 0.9, 7s},
        {"Retry-After below the backoff", policy, 4, Errc::rate_limited, 1s, 0.0, 2s},
        {"Retry-After of zero", policy, 1, Errc::rate_limited, 0ms, 0.0, 250ms},
        {"Retry-After above the longest backoff", policy, 1, Errc::rate_limited, 60s, 0.0, 60s},
        {"Retry-After at the limit", policy, 1, Errc::unavailable, 120s, 0.0, 120s},
        {"Retry-After over the limit", policy, 1, Errc::rate_limited, 120'001ms, 0.0, {}},
        {"429 without Retry-After", policy, 1, Errc::rate_limited, {}, 0.0, 250ms},
        {"not found", policy, 1, Errc::not_found, {}, 0.0, {}},
        {"corrupt", policy, 1, Errc::corrupt, {}, 0.0, {}},
        {"cancelled", policy, 1, Errc::cancelled, {}, 0.0, {}},
        {"not retryable whatever it asks", policy, 1, Errc::permission_denied, 1s, 0.0, {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(retry_delay(row.policy, row.attempts_made, row.outcome, row.retry_after,
                          row.jitter) == row.expected);
    }
    CHECK_FALSE(retry_delay({.attempts = 1}, 1, Errc::unavailable, {}, 0.0));
}

TEST_CASE("Retry-After is seconds or a date") {
    const auto now = std::chrono::system_clock::from_time_t(784111777);  // 1994-11-06 08:49:37 UTC
    struct Row {
        std::string text;
        Delay expected;
    };
    for (const Row& row : {
             Row{"0", 0ms},
             Row{"120", 120s},
             Row{"99999999999999999999999", 24h * 365},
             Row{"9999999999999", 24h * 365},
             Row{"Sun, 06 Nov 1994 08:49:47 GMT", 10s},
             Row{"Sun, 06 Nov 1994 08:49:37 GMT", 0ms},
             Row{"Sun, 06 Nov 1994 08:00:00 GMT", 0ms},
             Row{"Mon, 07 Nov 1994 00:00:00 GMT", 54623s},
             Row{"Fri, 31 Dec 9999 23:59:59 GMT", 24h * 365},
             Row{"Sunday, 06-Nov-94 08:49:47 GMT", 10s},
             Row{"Sun Nov  6 08:49:47 1994", 10s},
             Row{"", {}},
             Row{"-5", {}},
             Row{"1.5", {}},
             Row{"soon", {}},
             Row{"Sun, 06 Nov 1994 08:49:47 CET", {}},
             Row{"Sun, 06 Nov 1994", {}},
         }) {
        CAPTURE(row.text);
        CHECK(parse_retry_after(row.text, now) == row.expected);
    }
}

TEST_CASE("work is retried until it succeeds, fails permanently, or has no attempts left") {
    std::vector<std::string> lines;
    const RetryOptions options{.retry = {.attempts = 3, .first_delay = 1ms, .max_delay = 2ms},
                               .on_retry = [&](const std::string& line) { lines.push_back(line); }};
    int calls = 0;
    const auto run = [&](int failures, Errc code) {
        calls = 0;
        lines.clear();
        return with_retries(Attempts(options, "example.org/a:1", {}), [&] {
            if (++calls <= failures) throw Error(code, "it broke", "look");
            return calls;
        });
    };
    CHECK(run(2, Errc::unavailable) == 3);
    REQUIRE(lines.size() == 2);
    CHECK(lines[1] == "example.org/a:1: it broke; retrying in 0.0 s (attempt 3 of 3)");

    CHECK_THROWS_WITH(run(3, Errc::timed_out), "it broke (3 attempts); look");
    CHECK(calls == 3);
    CHECK_THROWS_WITH(run(1, Errc::not_found), "it broke; look");
    CHECK(calls == 1);
    CHECK(lines.empty());
}

TEST_CASE("an explained error keeps what it is") {
    const Error plain(Errc::not_found, "gone");
    try {
        throw_as(ResponseError(plain, 404, 7s), plain.within("there"));
    } catch (const ResponseError& error) {
        CHECK(error.message() == "there: gone");
        CHECK(error.status() == 404);
        CHECK(error.retry_after() == 7s);
    }
    try {
        throw_as(plain, plain.within("there"));
    } catch (const Error& error) {
        CHECK(error.message() == "there: gone");
        CHECK(dynamic_cast<const ResponseError*>(&error) == nullptr);
    }
}

TEST_CASE("a stop ends the wait for the next attempt") {
    const RetryOptions options{.retry = {.attempts = 3, .first_delay = 1h, .max_delay = 1h},
                               .on_retry = {}};
    std::stop_source stop;
    Attempts attempts(options, "x", stop.get_token());
    stop.request_stop();
    try {
        attempts.wait_after(Error(Errc::unavailable, "it broke"));
        FAIL("it went on");
    } catch (const Error& error) {
        CHECK(error.code() == Errc::cancelled);
    }
}

}  // namespace
}  // namespace prebake::registry
