#include "agent/daemon/timers.h"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>

using prebake::daemon::Agenda;
using prebake::daemon::Timer;
using std::chrono::seconds;

namespace {

const Timer::Time kNow{};

Timer::Time in(int count) {
    return kNow + seconds(count);
}

}  // namespace

TEST_CASE("what waits for the images to be checked does not keep the keeper awake until then") {
    Agenda agenda;
    agenda.list.set(in(0));
    agenda.budget.set(in(0));
    CHECK(agenda.wake_up(in(20), false, in(0)) == in(20));
    agenda.check.set(in(5));
    CHECK(agenda.wake_up(in(20), false, in(0)) == in(5));
    CHECK(agenda.wake_up(in(20), true, in(0)) == in(0));
}

TEST_CASE("whatever comes first wakes the keeper") {
    struct Row {
        const char* name;
        std::function<void(Agenda&)> plan;
        std::optional<Timer::Time> suspects;
        int expected;
    };
    const Row rows[] = {
        {"nothing to do", [](Agenda&) {}, {}, 20},
        {"the check", [](Agenda& agenda) { agenda.check.set(in(3)); }, {}, 3},
        {"the listing", [](Agenda& agenda) { agenda.list.set(in(3)); }, {}, 3},
        {"the budget", [](Agenda& agenda) { agenda.budget.set(in(3)); }, {}, 3},
        {"the report", [](Agenda& agenda) { agenda.publish.set(in(3)); }, {}, 3},
        {"the file", [](Agenda& agenda) { agenda.save.set(in(3)); }, {}, 3},
        {"a suspect", [](Agenda&) {}, in(3), 3},
        {"a suspect after the file", [](Agenda& agenda) { agenda.save.set(in(2)); }, in(3), 2},
        {"all of it later", [](Agenda& agenda) { agenda.save.set(in(30)); }, in(40), 20},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Agenda agenda;
        row.plan(agenda);
        CHECK(agenda.wake_up(in(20), true, row.suspects) == in(row.expected));
    }
}

TEST_CASE("the end of a session leaves what is not about containerd") {
    Agenda agenda;
    for (Timer* timer : {&agenda.check, &agenda.list, &agenda.budget}) timer->set(in(1));
    agenda.save.set(in(4));
    agenda.end_session();
    CHECK(agenda.wake_up(in(20), true, {}) == in(4));
}
