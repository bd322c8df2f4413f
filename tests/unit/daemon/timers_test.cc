#include "agent/daemon/timers.h"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <optional>

using prebake::daemon::LoopState;
using prebake::daemon::Timer;
using prebake::daemon::Timers;
using std::chrono::seconds;

namespace {

const Timer::Time kNow{};

Timer::Time in(int count) {
    return kNow + seconds(count);
}

}  // namespace

TEST_CASE("a timer that is set twice is due at the earlier time, one that is moved at the later") {
    Timer timer;
    CHECK_FALSE(timer.is_due(in(100)));
    timer.set(in(5));
    timer.set(in(3));
    timer.set(in(4));
    CHECK_FALSE(timer.is_due(in(2)));
    CHECK(timer.is_due(in(3)));
    timer.move(in(9));
    CHECK_FALSE(timer.is_due(in(8)));
    timer.clear();
    CHECK_FALSE(timer.is_due(in(100)));
}

TEST_CASE("work that needs checked images does not wake the loop before they are checked") {
    Timers timers;
    timers.list.set(in(0));
    timers.budget.set(in(0));
    CHECK(timers.wake_up(in(20), LoopState::checking, in(0)) == in(20));
    timers.check.set(in(5));
    CHECK(timers.wake_up(in(20), LoopState::checking, in(0)) == in(5));
    CHECK(timers.wake_up(in(20), LoopState::following, in(0)) == in(0));
}

TEST_CASE("without a session nothing wakes the loop to check") {
    Timers timers;
    timers.check.set(in(0));
    timers.probe.set(in(0));
    timers.ask.set(in(7));
    CHECK(timers.wake_up(in(20), LoopState::waiting_for_containerd, in(0)) == in(7));
}

TEST_CASE("the earliest work wakes the loop") {
    struct Row {
        const char* name;
        std::function<void(Timers&)> plan;
        std::optional<Timer::Time> suspects;
        int expected;
    };
    const Row rows[] = {
        {"nothing to do", [](Timers&) {}, {}, 20},
        {"the check", [](Timers& timers) { timers.check.set(in(3)); }, {}, 3},
        {"the listing", [](Timers& timers) { timers.list.set(in(3)); }, {}, 3},
        {"the budget", [](Timers& timers) { timers.budget.set(in(3)); }, {}, 3},
        {"the status", [](Timers& timers) { timers.publish.set(in(3)); }, {}, 3},
        {"the file", [](Timers& timers) { timers.save.set(in(3)); }, {}, 3},
        {"hydration", [](Timers& timers) { timers.hydration.set(in(3)); }, {}, 3},
        {"a probe", [](Timers& timers) { timers.probe.set(in(3)); }, {}, 3},
        {"a suspect", [](Timers&) {}, in(3), 3},
        {"a suspect after the file", [](Timers& timers) { timers.save.set(in(2)); }, in(3), 2},
        {"all of it later", [](Timers& timers) { timers.save.set(in(30)); }, in(40), 20},
        {"no question in a session", [](Timers& timers) { timers.ask.set(in(1)); }, {}, 20},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Timers timers;
        row.plan(timers);
        CHECK(timers.wake_up(in(20), LoopState::following, row.suspects) == in(row.expected));
    }
}

TEST_CASE("the end of a session keeps what is not about containerd") {
    Timers timers;
    for (Timer* timer : {&timers.check, &timers.list, &timers.budget, &timers.probe}) {
        timer->set(in(1));
    }
    timers.save.set(in(4));
    timers.end_session();
    CHECK(timers.wake_up(in(20), LoopState::following, {}) == in(4));
}
