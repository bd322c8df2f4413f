#include "agent/base/slots.h"

#include <doctest/doctest.h>

#include <future>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

namespace prebake {
namespace {

TEST_CASE("so many threads hold a slot, and the next one waits for the first that is free") {
    Slots slots(2);
    std::optional<std::unique_lock<Slots>> first(slots);
    const std::unique_lock second(slots);
    auto third = std::async(std::launch::async, [&] { const std::unique_lock taken(slots); });
    CHECK(third.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout);
    first.reset();
    third.get();
    const std::unique_lock again(slots);
}

TEST_CASE("a slot that somebody waits for is not taken without waiting") {
    Slots slots(2);
    std::optional<std::unique_lock<Slots>> first(slots);
    std::unique_lock second(slots, std::try_to_lock);
    CHECK(second.owns_lock());
    CHECK_FALSE(std::unique_lock(slots, std::try_to_lock).owns_lock());
    CHECK_FALSE(slots.is_wanted());
    std::promise<void> end;
    auto third = std::async(std::launch::async, [&] {
        const std::unique_lock taken(slots);
        end.get_future().wait();
    });
    while (!slots.is_wanted()) std::this_thread::yield();
    first.reset();
    CHECK_FALSE(std::unique_lock(slots, std::try_to_lock).owns_lock());
    while (slots.is_wanted()) std::this_thread::yield();
    second.unlock();
    CHECK(std::unique_lock(slots, std::try_to_lock).owns_lock());
    end.set_value();
}

TEST_CASE("a thread that waits for a slot can be stopped") {
    Slots slots(1);
    std::optional<std::unique_lock<Slots>> first(slots);
    std::stop_source stop;
    auto second = std::async(std::launch::async, [&] { return slots.lock(stop.get_token()); });
    while (!slots.is_wanted()) std::this_thread::yield();
    stop.request_stop();
    CHECK_FALSE(second.get());
    CHECK_FALSE(slots.is_wanted());
    first.reset();
    CHECK(slots.lock(std::stop_token()));
    slots.unlock();
}

}  // namespace
}  // namespace prebake
