#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/containerd/snapshots.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Who uses a committed snapshot. Pure.
namespace prebake::store {

/// Prefix of the containers that `prebake record` runs, and of their snapshots' keys. Their starts
/// are no use of the image.
inline constexpr std::string_view kRecordedPrefix = "prebake-record-";

using SnapshotsByName = std::map<std::string, containerd::SnapshotInfo>;

/// What stands on a snapshot, and on that again.
struct Dependents {
    /// Committed snapshots of baked images, each before the one that it stands on; the snapshot
    /// itself is the last.
    std::vector<std::string> baked;
    std::vector<std::string> containers;  ///< active snapshots and views: their keys
    std::vector<std::string> others;      ///< committed, and not of a baked image

    /// The snapshot can be made again: nothing uses it but what can be made again, too.
    bool are_replaceable() const { return containers.empty() && others.empty(); }
};

/// `baked` has the chain IDs of the baked images of the namespace.
Dependents dependents_of(const std::string& snapshot, const SnapshotsByName& snapshots,
                         const std::set<std::string>& baked);

/// Whether the bake unpacked the image in the namespace.
bool is_unpacked_in(const v1::BakedImage& image, const std::string& ns);

/// The chain IDs of all images that were unpacked in the namespace.
std::set<std::string> chains_in(const v1::BakeRecord& record, const std::string& ns);

/// "the containers a and b", "the snapshot sha256:…, which was not baked": what keeps the snapshot.
/// `dependents` are not replaceable.
std::string users_text(const Dependents& dependents);
/// What to do about them.
std::string how_to_free(const Dependents& dependents);

}  // namespace prebake::store
