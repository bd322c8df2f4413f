#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "agent/containerd/event.h"
#include "proto/containerd/events.pb.h"

namespace prebake::containerd {

/// The topics of the events that decode_event() understands.
std::array<std::string_view, 9> event_topics();

/// The event in `envelope`. Nothing for other topics, and for a payload that is not of the topic's
/// type, names no object, or is larger than 1 MiB: every user of the socket may publish anything.
std::optional<Event> decode_event(const ::containerd::services::events::v1::Envelope& envelope);

}  // namespace prebake::containerd
