#include "agent/daemon/event_stream.h"

#include <exception>
#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/connection.h"

namespace prebake::daemon {

EventStream::EventStream(std::string address, EventQueue& queue)
    : address_(std::move(address)),
      queue_(queue),
      thread_([this](const std::stop_token& end) { follow(end); }) {}

void EventStream::follow(const std::stop_token& end) {
    try {
        // A socket of its own, so that many events do not delay calls.
        const containerd::Connection connection(address_, end);
        containerd::follow_events(
            connection, [this] { queue_.push(Subscribed{}); },
            [this](containerd::Event event) { queue_.push(std::move(event)); });
    } catch (const Error& error) {
        queue_.push(StreamEnded{error});
    } catch (const std::exception& error) {
        queue_.push(StreamEnded{Error(Errc::internal, error.what())});
    }
    has_ended_ = true;
}

}  // namespace prebake::daemon
