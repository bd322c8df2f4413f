#include "agent/base/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <stop_token>

#include "tests/unit/base/thrown.h"

using namespace std::chrono_literals;
using prebake::Errc;
using prebake::tests::thrown_by;

TEST_CASE("throw_if_stopped() throws cancelled once a stop is requested, not before") {
    std::stop_source source;
    CHECK_NOTHROW(prebake::throw_if_stopped(source.get_token()));
    CHECK_NOTHROW(prebake::throw_if_stopped(std::stop_token()));
    source.request_stop();
    const auto error = thrown_by([&] { prebake::throw_if_stopped(source.get_token()); });
    CHECK(error.code() == Errc::cancelled);
}

TEST_CASE("sleep_for() without a stop lasts at least as long as requested") {
    const auto begin = std::chrono::steady_clock::now();
    prebake::sleep_for(20ms, std::stop_token());
    CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
    CHECK_NOTHROW(prebake::sleep_for(0ms, std::stop_token()));
    CHECK_NOTHROW(prebake::sleep_for(-1ms, std::stop_token()));
}

TEST_CASE("sleep_for() does not sleep after a stop request") {
    std::stop_source source;
    source.request_stop();
    const auto begin = std::chrono::steady_clock::now();
    const auto error = thrown_by([&] { prebake::sleep_for(1h, source.get_token()); });
    CHECK(error.code() == Errc::cancelled);
    CHECK(std::chrono::steady_clock::now() - begin < 10min);
}

TEST_CASE("a stop ends a sleep at once") {
    // The request may come before or during the sleep; both have to end it.
    std::stop_source source;
    std::promise<void> about_to_sleep;
    auto sleeper = std::async(std::launch::async, [&] {
        about_to_sleep.set_value();
        return thrown_by([&] { prebake::sleep_for(1h, source.get_token()); }).code();
    });
    about_to_sleep.get_future().wait();
    source.request_stop();
    REQUIRE(sleeper.wait_for(60s) == std::future_status::ready);
    CHECK(sleeper.get() == Errc::cancelled);
}
