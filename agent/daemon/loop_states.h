#pragma once

#include <span>
#include <string_view>
#include <vector>

/// The daemon's loop as a table of states. What a row says is what the daemon does: NodeLoop only
/// carries out the actions. Pure.
namespace prebake::daemon {

enum class LoopState {
    waiting_for_containerd,  ///< containerd does not answer, or is left alone after a failed
                             ///< session
    subscribing,             ///< it answers; its event stream is being opened
    checking,                ///< events arrive; the images have to be checked in this session
    following,               ///< the images were checked; events say what to check again
    stopping,                ///< the end
};

enum class LoopEvent {
    containerd_answered,
    containerd_silent,  ///< it does not answer
    subscribed,         ///< from here on no event is missed
    stream_ended,       ///< of events: containerd is gone
    events_lost,        ///< the queue overflowed
    event_failed,       ///< an event could not be processed, and may be another time
    check_requested,    ///< by a reload, a new bake record, or an event about the sandbox image
    list_requested,     ///< by a new bake record, or a new claim
    checked,            ///< all images
    check_failed,
    stop_requested,
};

enum class LoopAction {
    open_stream,   ///< of events
    close_stream,  ///< and drop what it left in the queue, and what was planned for the session
    ask_again,     ///< containerd, soon: often while the machine boots, then less often
    back_off,      ///< ask containerd again after a delay that grows with each failed session
    reset_backoff,
    set_serving,  ///< the facts say that containerd answers
    set_not_serving,
    record_restart,   ///< log it; the ledger has a gap from then on
    record_overflow,  ///< the same
    check_now,
    check_after_overflow,
    check_after_failure,
    retry_check,  ///< after a delay that grows with each failure
    list_now,
    list_after_overflow,
    list_after_failure,
    budget_now,     ///< and the lease on what was baked
    accept_images,  ///< the facts say that the images are about this containerd
    forget_images,  ///< the facts say that the images were not checked
    publish,
    publish_changes,  ///< if set_serving or set_not_serving changed something
    save_ledger,
};

struct Transition {
    LoopState from;
    LoopEvent event;
    LoopState to;
    std::vector<LoopAction> actions;  ///< in this order
};

/// The whole table. An event that has no row in a state changes nothing there.
std::span<const Transition> loop_transitions();

/// The row of the table, or null.
const Transition* find_transition(LoopState state, LoopEvent event);

/// What the loop does when its time has come.
enum class LoopWork { ask, probe, check, list, suspects, budget, publish, save, hydration };

/// Whether the work can be done in the state. What is due and not possible waits.
bool is_possible(LoopState state, LoopWork work);

std::string_view to_string(LoopState state);

}  // namespace prebake::daemon
