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
    container_created,  ///< it does not run yet, and may never
    task_started,       ///< the container's process runs
};

/// Something that happened in one namespace of containerd.
struct Event {
    EventKind kind = EventKind::image_created;
    std::chrono::system_clock::time_point at = {};  ///< by containerd's clock
    std::string ns = {};
    /// The image's name, the snapshot's key, the blob's digest, the container's ID.
    std::string object = {};
    std::string parent = {};  ///< of a prepared snapshot
    /// Of a committed snapshot, whose key is `object`. The container's image.
    std::string name = {};
    std::string snapshotter = {};  ///< of a snapshot; empty before 1.7
    Labels labels = {};            ///< of an image
};

/// True if a client wrote the image `object`.
inline bool is_image_written(const Event& event) {
    return event.kind == EventKind::image_created || event.kind == EventKind::image_updated;
}

}  // namespace prebake::containerd
