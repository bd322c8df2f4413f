#include "agent/daemon/event_queue.h"

#include <algorithm>
#include <utility>

namespace prebake::daemon {
namespace {

bool is_event(const Wakeup& wakeup) {
    return std::holds_alternative<containerd::Event>(wakeup) ||
           std::holds_alternative<EngineHappened>(wakeup);
}
bool is_loss(const Wakeup& wakeup) {
    return std::holds_alternative<EventsLost>(wakeup);
}

std::chrono::system_clock::time_point time_of(const Wakeup& wakeup) {
    if (const auto* loss = std::get_if<EventsLost>(&wakeup)) return loss->since;
    if (const auto* happened = std::get_if<EngineHappened>(&wakeup)) return happened->event.at;
    return std::get<containerd::Event>(wakeup).at;
}

/// Whether the next session with containerd does not need it.
bool is_of_session(const Wakeup& wakeup) {
    return std::holds_alternative<containerd::Event>(wakeup) || is_loss(wakeup) ||
           std::holds_alternative<Subscribed>(wakeup) ||
           std::holds_alternative<StreamEnded>(wakeup);
}

/// Replaces all events and earlier losses, and `last`, by one loss at the place of the first of
/// them. Everything else must not be dropped.
void drop_events(std::deque<Wakeup>& waiting, const Wakeup& last) {
    const auto first = std::find_if(waiting.begin(), waiting.end(), [](const Wakeup& wakeup) {
        return is_event(wakeup) || is_loss(wakeup);
    });
    if (first == waiting.end()) {
        waiting.emplace_back(EventsLost{.since = time_of(last)});
        return;
    }
    *first = EventsLost{.since = time_of(*first)};
    waiting.erase(
        std::remove_if(first + 1, waiting.end(),
                       [](const Wakeup& wakeup) { return is_event(wakeup) || is_loss(wakeup); }),
        waiting.end());
}

}  // namespace

void EventQueue::push(Wakeup wakeup) {
    {
        const std::scoped_lock lock(mutex_);
        if (is_event(wakeup) && waiting_.size() >= limit_) {
            drop_events(waiting_, wakeup);
        } else {
            waiting_.push_back(std::move(wakeup));
        }
    }
    wake_.notify_one();
}

std::optional<ReloadRequested> EventQueue::end_session() {
    const std::scoped_lock lock(mutex_);
    std::optional<ReloadRequested> reload;
    std::erase_if(waiting_, [&](const Wakeup& wakeup) {
        const auto* request = std::get_if<ReloadRequested>(&wakeup);
        if (request == nullptr) return is_of_session(wakeup);
        reload = {request->is_check_wanted || (reload && reload->is_check_wanted)};
        return true;
    });
    return reload;
}

std::optional<Wakeup> EventQueue::pop(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    if (!wake_.wait_until(lock, deadline, [&] { return !waiting_.empty(); })) return {};
    Wakeup next = std::move(waiting_.front());
    waiting_.pop_front();
    return next;
}

}  // namespace prebake::daemon
