#pragma once

#include <chrono>
#include <string>

#include "agent/containerd/connection.h"

namespace prebake::containerd {

enum class EventKind {
    image_created,
    image_updated,
    image_deleted,  ///< before 2.0 not sent for garbage collection
    snapshot_prepared,
    snapshot_committed,
    snapshot_removed,  ///< before 1.7 not sent for garbage collection
    blob_deleted,
};

/// Something that happened in one namespace of containerd.
struct Event {
    EventKind kind = EventKind::image_created;
    std::chrono::system_clock::time_point at = {};  ///< by containerd's clock
    std::string ns = {};
    std::string object = {};       ///< the image's name, the snapshot's key, the blob's digest
    std::string parent = {};       ///< of a prepared snapshot
    std::string name = {};         ///< of a committed snapshot; its key is `object`
    std::string snapshotter = {};  ///< of a snapshot; empty before 1.7
    Labels labels = {};            ///< of an image
};

/// True if a client wrote the image `object`.
inline bool is_image_written(const Event& event) {
    return event.kind == EventKind::image_created || event.kind == EventKind::image_updated;
}

}  // namespace prebake::containerd
