#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "agent/bake/bake_lock.h"
#include "agent/bake/event.h"
#include "agent/containerd/connection.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::bake {

/// A snapshot with files that are not those of its layer.
struct DamagedSnapshot {
    std::string ns;
    std::string snapshotter;
    std::string chain_id;
    auto operator<=>(const DamagedSnapshot&) const = default;
};

/// Removes damaged snapshots, and those that stand on them; then calls `restore` for each image of
/// the record that lost one, which is to unpack it again. A snapshot stays, with a notice, while a
/// container or another client's snapshot uses it, or if a layer to unpack is not on the disk. In
/// between, a container of such an image is unpacked by CRI, or does not start.
/// Returns how many images lost snapshots.
/// @throws Error if containerd does not answer; cancelled; and what `restore` throws.
std::size_t replace_damaged(const BakeLock& lock, const v1::BakeRecord& record,
                            const std::vector<DamagedSnapshot>& damaged,
                            const containerd::Connection& connection, EventSink& events,
                            const std::function<void(const v1::BakedImage&)>& restore);

}  // namespace prebake::bake
