#include "agent/bake/event.h"

#include <utility>

namespace prebake::bake {

std::string_view to_string(EventKind kind) {
    switch (kind) {
        case EventKind::bake_begun:
            return "bake_begun";
        case EventKind::image_begun:
            return "image_begun";
        case EventKind::fetching:
            return "fetching";
        case EventKind::fetched:
            return "fetched";
        case EventKind::unpacking:
            return "unpacking";
        case EventKind::unpacked:
            return "unpacked";
        case EventKind::image_done:
            return "image_done";
        case EventKind::image_failed:
            return "image_failed";
        case EventKind::notice:
            return "notice";
    }
    return "";
}

std::string snapshot_id(const std::string& ns, const oci::Digest& chain_id) {
    return ns + " " + chain_id.str();
}

void notice(EventSink& events, const std::string& image, std::string message) {
    events.on_event({.kind = EventKind::notice, .image = image, .message = std::move(message)});
}

}  // namespace prebake::bake
