#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/oci/digest.h"

namespace prebake::bake {

enum class EventKind {
    bake_begun,   ///< of `images` images; `current` of their `total` bytes are there already
    image_begun,  ///< `current` of its `total` bytes are there already
    fetching,     ///< `current` of `total` bytes of `layer`; sent often
    fetched,      ///< `layer` is in the store; `current` bytes of it came over the network
    unpacking,
    unpacked,      ///< the snapshot of `layer` is there; `current` bytes were unpacked for it
    image_done,    ///< `current` bytes of it came over the network
    image_failed,  ///< `message` says why
    notice,        ///< `message` is something the operator may want to know: a retry, a fallback
};
std::string_view to_string(EventKind kind);

/// A layer to store, or a snapshot to make.
struct PlannedWork {
    std::string id;           ///< a layer's digest; a snapshot's snapshot_id()
    std::uint64_t bytes = 0;  ///< of the layer, compressed
    bool is_done = false;     ///< before the bake: it is there, or not needed
};
/// Unique within a bake, which has one snapshotter for each namespace.
std::string snapshot_id(const std::string& ns, const oci::Digest& chain_id);

/// Something that happened during a bake, to show its progress.
struct Event {
    EventKind kind;
    std::string image = {};     ///< empty if it is not about a single image
    std::string layer = {};     ///< digest
    std::string snapshot = {};  ///< its snapshot_id(), with unpacking and unpacked
    std::uint64_t current = 0;
    std::uint64_t total = 0;
    /// With fetching: what of `current` this transfer got over the network. The rest was resumed,
    /// or copied from another namespace.
    std::uint64_t received = 0;
    std::size_t images = 0;
    std::string message = {};
    std::vector<PlannedWork> layers = {};     ///< with bake_begun: each layer once
    std::vector<PlannedWork> snapshots = {};  ///< with bake_begun: each snapshot once
};

class EventSink {
  public:
    virtual ~EventSink() = default;
    /// Called from any thread, several at once; must not throw and must return quickly.
    virtual void on_event(const Event& event) = 0;
};

/// Sends an EventKind::notice.
void notice(EventSink& events, const std::string& image, std::string message);

}  // namespace prebake::bake
