#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/guard/image_health.h"
#include "agent/guard/image_repairer.h"
#include "agent/guard/protected_images.h"
#include "agent/store/names.h"
#include "agent/store/snapshotter.h"
#include "proto/prebake/v1/node.pb.h"

namespace prebake::guard {

/// How far a repair has come.
struct RepairProgress {
    std::size_t done = 0;
    std::size_t total = 0;  ///< images
    bool is_unpacking = false;
    std::string snapshotter;          ///< if is_unpacking: the one that is unpacked into
    std::vector<ImageHealth> images;  ///< as they were found
};

struct Reconciliation {
    const v1::BakeRecord& wanted;
    const store::Snapshotters& snapshotters;
    const store::NameSet& pinned;  ///< the names to pin
    ImageRepairer& repairer;
    const TimeSource& clock;
    /// False: leave the image as it is, because something undoes each repair.
    std::function<bool(const ImageKey&)> may_repair;
    /// Why a repair is necessary; empty if that is not known.
    std::function<std::string(const ImageKey&)> why;
    /// Called before each image.
    std::function<void(const RepairProgress&)> on_progress;
};

/// The names, blobs and snapshots (chain IDs) that were missing and that we restored, by namespace.
using RestoredParts = std::map<std::string, std::set<std::string>>;

/// Why an image has to be tried again.
enum class RetryCause {
    not_checked,  ///< the check failed, so nothing was tried
    not_allowed,  ///< something undoes each repair
    disk_full,
    bake_runs,
    other,
};

struct Reconciled {
    std::vector<ImageHealth> images;          ///< of `wanted`, in its order
    std::vector<v1::Repair> repairs;          ///< also those that failed, with their problem
    std::map<ImageKey, RetryCause> to_retry;  ///< these may succeed later
    std::set<ImageKey> named_again;           ///< these had lost a name
    RestoredParts restored;
};

/// Compares the images with containerd and repairs from this disk what can be repaired. If one
/// image fails, that is its result, and the others are still repaired.
/// @throws Error unavailable, cancelled, and as ImageRepairer::verify().
Reconciled reconcile(const Reconciliation& job);

}  // namespace prebake::guard
