#include "agent/daemon/loop_states.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace prebake::daemon {
namespace {

using State = LoopState;
using Event = LoopEvent;
using Action = LoopAction;

constexpr State kStates[] = {State::waiting_for_containerd, State::subscribing, State::checking,
                             State::following, State::stopping};
constexpr Event kEvents[] = {
    Event::containerd_answered, Event::containerd_silent, Event::subscribed,
    Event::stream_ended,        Event::events_lost,       Event::event_failed,
    Event::check_requested,     Event::list_requested,    Event::checked,
    Event::check_failed,        Event::stop_requested};

std::string word_for(Action action) {
    switch (action) {
        case Action::open_stream:
            return "open_stream";
        case Action::close_stream:
            return "close_stream";
        case Action::ask_again:
            return "ask_again";
        case Action::back_off:
            return "back_off";
        case Action::reset_backoff:
            return "reset_backoff";
        case Action::set_serving:
            return "serving";
        case Action::set_not_serving:
            return "not_serving";
        case Action::record_restart:
            return "restart";
        case Action::record_overflow:
            return "overflow";
        case Action::check_now:
            return "check_now";
        case Action::check_after_overflow:
            return "check_in_2s";
        case Action::check_after_failure:
            return "check_in_5s";
        case Action::retry_check:
            return "retry_check";
        case Action::list_now:
            return "list_now";
        case Action::list_after_overflow:
            return "list_in_2s";
        case Action::list_after_failure:
            return "list_in_5s";
        case Action::budget_now:
            return "budget_now";
        case Action::accept_images:
            return "accept";
        case Action::forget_images:
            return "forget";
        case Action::publish:
            return "publish";
        case Action::publish_changes:
            return "publish_changes";
        case Action::save_ledger:
            return "save";
    }
    return {};
}

/// "following: accept publish"; empty if the event changes nothing.
std::string outcome(State state, Event event) {
    const Transition* const transition = find_transition(state, event);
    if (transition == nullptr) return {};
    std::string text(to_string(transition->to));
    text += ":";
    for (const Action action : transition->actions) text += " " + word_for(action);
    return text;
}

bool has(const Transition& transition, Action action) {
    return std::ranges::count(transition.actions, action) > 0;
}

bool is_session(State state) {
    return state == State::subscribing || state == State::checking || state == State::following;
}

TEST_CASE("every event in every state") {
    const std::string lost =
        "waiting for containerd: restart not_serving publish close_stream "
        "back_off";
    const std::string stopped = "stopping: close_stream save";
    struct Row {
        State state;
        std::vector<std::string> outcomes;  ///< in the order of kEvents
    };
    const std::vector<Row> rows{
        {State::waiting_for_containerd,
         {"subscribing: open_stream",
          "waiting for containerd: not_serving publish_changes ask_again", "", "", "", "", "", "",
          "", "", "stopping: save"}},
        {State::subscribing,
         {"subscribing: forget serving publish_changes", "subscribing: not_serving publish_changes",
          "checking: reset_backoff serving check_now list_now", lost, "", "", "", "", "", "",
          stopped}},
        {State::checking,
         {"checking: serving publish_changes", "checking: not_serving publish_changes", "", lost,
          "checking: overflow check_in_2s list_in_2s", "checking: check_in_5s list_in_5s",
          "checking: check_now", "checking: list_now", "following: accept publish budget_now",
          "checking: forget retry_check", stopped}},
        {State::following,
         {"following: serving publish_changes", "following: not_serving publish_changes", "", lost,
          "following: overflow check_in_2s list_in_2s", "following: check_in_5s list_in_5s",
          "following: check_now", "following: list_now", "following: accept publish budget_now",
          "checking: retry_check", stopped}},
        {State::stopping, {"", "", "", "", "", "", "", "", "", "", ""}},
    };
    REQUIRE(rows.size() == std::size(kStates));
    for (const Row& row : rows) {
        REQUIRE(row.outcomes.size() == std::size(kEvents));
        for (std::size_t i = 0; i < std::size(kEvents); ++i) {
            CAPTURE(to_string(row.state));
            CAPTURE(i);
            CHECK(outcome(row.state, kEvents[i]) == row.outcomes[i]);
        }
    }
}

TEST_CASE("the table has at most one row for a state and an event") {
    for (const Transition& row : loop_transitions())
        CHECK(&row == find_transition(row.from, row.event));
}

TEST_CASE("no state is a dead end: entering it plans what leaves it") {
    for (const Transition& row : loop_transitions()) {
        CAPTURE(to_string(row.from));
        CAPTURE(to_string(row.to));
        if (row.to == State::waiting_for_containerd) {
            CHECK((has(row, Action::ask_again) || has(row, Action::back_off)));
        }
        if (row.to == State::subscribing && row.from != row.to) {
            CHECK(has(row, Action::open_stream));
        }
        if (row.to == State::checking && row.from != row.to) {
            CHECK((has(row, Action::check_now) || has(row, Action::retry_check)));
        }
        CHECK_MESSAGE(
            has(row, Action::close_stream) == (is_session(row.from) && !is_session(row.to)),
            "the stream is closed exactly at the end of a session");
    }
}

TEST_CASE("a stop ends every state, and the ledger is saved last") {
    for (const State state : kStates) {
        if (state == State::stopping) continue;
        const Transition* const row = find_transition(state, Event::stop_requested);
        REQUIRE(row != nullptr);
        CHECK(row->to == State::stopping);
        CHECK(row->actions.back() == Action::save_ledger);
    }
}

TEST_CASE("what is possible in which state") {
    struct Row {
        LoopWork work;
        std::string states;  ///< y or n, in the order of kStates
    };
    const Row rows[] = {
        {LoopWork::ask, "ynnnn"},     {LoopWork::probe, "nyyyn"},    {LoopWork::check, "nnyyn"},
        {LoopWork::list, "nnnyn"},    {LoopWork::suspects, "nnnyn"}, {LoopWork::budget, "nnnyn"},
        {LoopWork::publish, "yyyyn"}, {LoopWork::save, "yyyyn"},     {LoopWork::hydration, "yyyyn"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.states);
        std::string states;
        for (const State state : kStates) states += is_possible(state, row.work) ? 'y' : 'n';
        CHECK(states == row.states);
    }
}

TEST_CASE("a node boots, containerd restarts, and the node stops") {
    State state = State::waiting_for_containerd;
    const std::pair<Event, State> steps[] = {
        {Event::containerd_silent, State::waiting_for_containerd},
        {Event::containerd_answered, State::subscribing},
        {Event::subscribed, State::checking},
        {Event::check_failed, State::checking},
        {Event::checked, State::following},
        {Event::events_lost, State::following},
        {Event::check_failed, State::checking},
        {Event::checked, State::following},
        {Event::stream_ended, State::waiting_for_containerd},
        {Event::check_requested, State::waiting_for_containerd},
        {Event::containerd_answered, State::subscribing},
        {Event::stream_ended, State::waiting_for_containerd},
        {Event::stop_requested, State::stopping},
        {Event::containerd_answered, State::stopping},
    };
    for (const auto& [event, expected] : steps) {
        if (const Transition* const row = find_transition(state, event)) state = row->to;
        CHECK(to_string(state) == to_string(expected));
    }
}

}  // namespace
}  // namespace prebake::daemon
