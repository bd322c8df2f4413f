#include "agent/daemon/loop_states.h"

#include <algorithm>

namespace prebake::daemon {
namespace {

using State = LoopState;
using Event = LoopEvent;
using Action = LoopAction;

}  // namespace

std::span<const Transition> loop_transitions() {
    // clang-format off
    static const std::vector<Transition> table{
        {State::waiting_for_containerd, Event::containerd_answered, State::subscribing,
            {Action::open_stream}},
        {State::waiting_for_containerd, Event::containerd_silent, State::waiting_for_containerd,
            {Action::set_not_serving, Action::publish_changes, Action::ask_again}},
        {State::waiting_for_containerd, Event::stop_requested, State::stopping,
            {Action::save_ledger}},

        {State::subscribing, Event::subscribed, State::checking,
            {Action::reset_backoff, Action::set_serving, Action::check_now, Action::list_now}},
        // What an earlier containerd had says nothing about this one.
        {State::subscribing, Event::containerd_answered, State::subscribing,
            {Action::forget_images, Action::set_serving, Action::publish_changes}},
        {State::subscribing, Event::containerd_silent, State::subscribing,
            {Action::set_not_serving, Action::publish_changes}},
        {State::subscribing, Event::stream_ended, State::waiting_for_containerd,
            {Action::record_restart, Action::set_not_serving, Action::publish,
             Action::close_stream, Action::back_off}},
        {State::subscribing, Event::stop_requested, State::stopping,
            {Action::close_stream, Action::save_ledger}},

        {State::checking, Event::checked, State::following,
            {Action::accept_images, Action::publish, Action::budget_now}},
        // Nor does it after a check that failed.
        {State::checking, Event::check_failed, State::checking,
            {Action::forget_images, Action::retry_check}},
        {State::checking, Event::check_requested, State::checking,
            {Action::check_now}},
        {State::checking, Event::list_requested, State::checking,
            {Action::list_now}},
        {State::checking, Event::events_lost, State::checking,
            {Action::record_overflow, Action::check_after_overflow, Action::list_after_overflow}},
        {State::checking, Event::event_failed, State::checking,
            {Action::check_after_failure, Action::list_after_failure}},
        {State::checking, Event::containerd_answered, State::checking,
            {Action::set_serving, Action::publish_changes}},
        {State::checking, Event::containerd_silent, State::checking,
            {Action::set_not_serving, Action::publish_changes}},
        {State::checking, Event::stream_ended, State::waiting_for_containerd,
            {Action::record_restart, Action::set_not_serving, Action::publish,
             Action::close_stream, Action::back_off}},
        {State::checking, Event::stop_requested, State::stopping,
            {Action::close_stream, Action::save_ledger}},

        {State::following, Event::checked, State::following,
            {Action::accept_images, Action::publish, Action::budget_now}},
        // What the last check found stands until a second one fails.
        {State::following, Event::check_failed, State::checking,
            {Action::retry_check}},
        {State::following, Event::check_requested, State::following,
            {Action::check_now}},
        {State::following, Event::list_requested, State::following,
            {Action::list_now}},
        {State::following, Event::events_lost, State::following,
            {Action::record_overflow, Action::check_after_overflow, Action::list_after_overflow}},
        {State::following, Event::event_failed, State::following,
            {Action::check_after_failure, Action::list_after_failure}},
        {State::following, Event::containerd_answered, State::following,
            {Action::set_serving, Action::publish_changes}},
        {State::following, Event::containerd_silent, State::following,
            {Action::set_not_serving, Action::publish_changes}},
        {State::following, Event::stream_ended, State::waiting_for_containerd,
            {Action::record_restart, Action::set_not_serving, Action::publish,
             Action::close_stream, Action::back_off}},
        {State::following, Event::stop_requested, State::stopping,
            {Action::close_stream, Action::save_ledger}},
    };
    // clang-format on
    return table;
}

const Transition* find_transition(LoopState state, LoopEvent event) {
    const std::span<const Transition> table = loop_transitions();
    const auto row = std::ranges::find_if(table, [&](const Transition& transition) {
        return transition.from == state && transition.event == event;
    });
    return row == table.end() ? nullptr : &*row;
}

bool is_possible(LoopState state, LoopWork work) {
    switch (work) {
        case LoopWork::ask:
            return state == State::waiting_for_containerd;
        case LoopWork::probe:
            return state == State::subscribing || state == State::checking ||
                   state == State::following;
        case LoopWork::check:
            return state == State::checking || state == State::following;
        case LoopWork::list:  // counting needs the images, and readiness does not wait for it
        case LoopWork::suspects:
        case LoopWork::budget:
            return state == State::following;
        case LoopWork::publish:
        case LoopWork::save:
        case LoopWork::hydration:
            return state != State::stopping;
    }
    return false;
}

std::string_view to_string(LoopState state) {
    switch (state) {
        case State::waiting_for_containerd:
            return "waiting for containerd";
        case State::subscribing:
            return "subscribing";
        case State::checking:
            return "checking";
        case State::following:
            return "following";
        case State::stopping:
            return "stopping";
    }
    return {};
}

}  // namespace prebake::daemon
