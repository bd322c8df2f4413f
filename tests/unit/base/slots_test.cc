#include "agent/base/slots.h"

#include <doctest/doctest.h>

#include <future>
#include <mutex>
#include <optional>

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

}  // namespace
}  // namespace prebake
