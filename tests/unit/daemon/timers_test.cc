#include "agent/daemon/timers.h"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>

using prebake::daemon::Timer;
using prebake::daemon::Timers;
using std::chrono::seconds;

namespace {

const Timer::Time kNow{};

Timer::Time in(int count) {
    return kNow + seconds(count);
}

}  // namespace

TEST_CASE("what waits for the images to be checked does not keep the keeper awake until then") {
    Timers timers;
    timers.list.set(in(0));
    timers.budget.set(in(0));
    CHECK(timers.wake_up(in(20), false, in(0)) == in(20));
    timers.check.set(in(5));
    CHECK(timers.wake_up(in(20), false, in(0)) == in(5));
    CHECK(timers.wake_up(in(20), true, in(0)) == in(0));
}

TEST_CASE("whatever comes first wakes the keeper") {
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
        {"the report", [](Timers& timers) { timers.publish.set(in(3)); }, {}, 3},
        {"the file", [](Timers& timers) { timers.save.set(in(3)); }, {}, 3},
        {"a suspect", [](Timers&) {}, in(3), 3},
        {"a suspect after the file", [](Timers& timers) { timers.save.set(in(2)); }, in(3), 2},
        {"all of it later", [](Timers& timers) { timers.save.set(in(30)); }, in(40), 20},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Timers timers;
        row.plan(timers);
        CHECK(timers.wake_up(in(20), true, row.suspects) == in(row.expected));
    }
}

TEST_CASE("the end of a session leaves what is not about containerd") {
    Timers timers;
    for (Timer* timer : {&timers.check, &timers.list, &timers.budget}) timer->set(in(1));
    timers.save.set(in(4));
    timers.end_session();
    CHECK(timers.wake_up(in(20), true, {}) == in(4));
}
