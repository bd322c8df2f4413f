#include "agent/daemon/event_queue.h"

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using prebake::Errc;
using prebake::Error;
using prebake::containerd::Event;
using prebake::daemon::EngineGone;
using prebake::daemon::EngineHappened;
using prebake::daemon::EventQueue;
using prebake::daemon::EventsLost;
using prebake::daemon::ReloadRequested;
using prebake::daemon::StreamEnded;
using prebake::daemon::Subscribed;
using prebake::daemon::Wakeup;

namespace {

Wakeup event(const std::string& object) {
    return Event{.object = object};
}

Wakeup started(const std::string& container) {
    EngineHappened happened;
    happened.event.type = "container";
    happened.event.action = "start";
    happened.event.id = container;
    return happened;
}

std::string word_for(const Wakeup& wakeup) {
    if (const auto* event = std::get_if<Event>(&wakeup)) return event->object;
    if (std::holds_alternative<Subscribed>(wakeup)) return "subscribed";
    if (std::holds_alternative<StreamEnded>(wakeup)) return "ended";
    if (const auto* happened = std::get_if<EngineHappened>(&wakeup)) return happened->event.id;
    if (std::holds_alternative<EngineGone>(wakeup)) return "gone";
    return std::holds_alternative<EventsLost>(wakeup) ? "lost" : "reload";
}

std::string drained(EventQueue& queue) {
    std::string words;
    while (const auto wakeup = queue.pop(std::chrono::steady_clock::time_point::min())) {
        words += (words.empty() ? "" : " ") + word_for(*wakeup);
    }
    return words;
}

}  // namespace

TEST_CASE("what dockerd said outlives a session with containerd") {
    EventQueue queue(10);
    queue.push(Subscribed{});
    queue.push(event("1"));
    queue.push(started("c1"));
    queue.push(ReloadRequested{.is_check_wanted = true});
    queue.push(StreamEnded{Error(Errc::unavailable, "gone")});
    queue.push(EngineGone{Error(Errc::unavailable, "gone")});
    queue.push(ReloadRequested{});
    const auto reload = queue.end_session();
    REQUIRE(reload);
    CHECK(reload->is_check_wanted);
    CHECK(drained(queue) == "c1 gone");
    CHECK_FALSE(queue.end_session());
}

TEST_CASE("events of dockerd may be lost, too") {
    EventQueue queue(2);
    for (const char* id : {"c1", "c2", "c3"}) queue.push(started(id));
    CHECK(drained(queue) == "lost");
}

TEST_CASE("if the queue is full, all events are dropped, and nothing else") {
    const StreamEnded ended{Error(Errc::unavailable, "gone")};
    struct Row {
        const char* name;
        std::vector<Wakeup> pushed;
        const char* expected;
    };
    const std::vector<Row> rows{
        {"nothing", {}, ""},
        {"as many as fit", {event("a"), event("b"), event("c")}, "a b c"},
        {"one too many", {event("a"), event("b"), event("c"), event("d")}, "lost"},
        {"later events are kept",
         {event("a"), event("b"), event("c"), event("d"), event("e")},
         "lost e"},
        {"a second overflow is one loss",
         {event("a"), event("b"), event("c"), event("d"), event("e"), event("f"), event("g"),
          event("h")},
         "lost h"},
        {"the loss replaces the events, after the subscription",
         {Subscribed{}, event("a"), event("b"), event("c")},
         "subscribed lost"},
        {"a reload between events survives",
         {event("a"), ReloadRequested{}, event("b"), event("c")},
         "lost reload"},
        {"the end always fits", {event("a"), event("b"), event("c"), ended}, "a b c ended"},
        {"the end survives an overflow",
         {event("a"), event("b"), ended, event("c"), event("d")},
         "lost ended d"},
        {"no other event, and one that does not fit",
         {Subscribed{}, ReloadRequested{}, ReloadRequested{}, event("a")},
         "subscribed reload reload lost"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        EventQueue queue(3);
        for (const Wakeup& wakeup : row.pushed) queue.push(wakeup);
        CHECK(drained(queue) == row.expected);
    }
}

TEST_CASE("a loss has the time of the first lost event") {
    using Time = std::chrono::system_clock::time_point;
    const auto at = [](int second) {
        return Event{.at = Time(std::chrono::seconds(second)), .object = "x"};
    };
    const auto lost_since = [](EventQueue& queue) {
        const auto wakeup = queue.pop(std::chrono::steady_clock::time_point::min());
        REQUIRE(wakeup.has_value());
        const auto* loss = std::get_if<EventsLost>(&*wakeup);
        REQUIRE(loss != nullptr);
        return loss->since.time_since_epoch() / 1s;
    };
    EventQueue queue(2);
    for (int second = 1; second <= 5; ++second) queue.push(at(second));
    CHECK(lost_since(queue) == 1);
    EventQueue of_orders(0);
    of_orders.push(at(7));
    CHECK(lost_since(of_orders) == 7);
}

TEST_CASE("pop() returns nothing at the deadline, and returns at once what another thread pushes") {
    EventQueue queue(3);
    CHECK_FALSE(queue.pop(std::chrono::steady_clock::now() + 1ms).has_value());
    auto popped = std::async(std::launch::async, [&] {
        return queue.pop(std::chrono::steady_clock::now() + std::chrono::minutes(1));
    });
    queue.push(event("a"));
    const auto wakeup = popped.get();
    REQUIRE(wakeup.has_value());
    CHECK(word_for(*wakeup) == "a");
}
