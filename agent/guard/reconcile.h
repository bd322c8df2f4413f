#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "agent/bake/event.h"
#include "agent/bake/name_conflicts.h"
#include "agent/bake/survey.h"
#include "agent/containerd/connection.h"
#include "agent/guard/image_health.h"
#include "agent/guard/protected_images.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::guard {

/// How far a repair has come.
struct RepairProgress {
    std::size_t done = 0;
    std::size_t total = 0;  ///< images
    bool is_unpacking = false;
    std::string snapshotter;          ///< that is unpacked into
    std::vector<ImageHealth> images;  ///< as they were found
};

struct Reconciliation {
    const v1::BakeRecord& wanted;
    const store::Snapshotters& snapshotters;
    const store::NameSet& pinned;
    std::filesystem::path state_dir;
    const containerd::Connection& connection;
    bake::EventSink& events;
    /// False: leave it as it is, somebody else insists.
    std::function<bool(const ImageKey&)> may_repair;
    /// Why a repair is necessary, if known.
    std::function<std::string(const ImageKey&)> why;
    std::function<void(const RepairProgress&)> on_progress;  ///< before each image
};

struct Reconciled {
    std::vector<ImageHealth> images;  ///< of `wanted`, in its order
    std::vector<v1::Repair> repairs;  ///< and what could not be repaired, with its problem
    std::vector<ImageKey> to_retry;   ///< what kept them from being repaired may pass
};

/// Holds the images against containerd and repairs from this disk what can be repaired. One image's
/// failure is its result. @throws Error unavailable, cancelled, and as store::verify().
Reconciled reconcile(const Reconciliation& job);

}  // namespace prebake::guard
