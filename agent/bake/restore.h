#pragma once

#include <filesystem>
#include <string>

#include "agent/bake/bake_lock.h"
#include "agent/bake/event.h"
#include "agent/containerd/connection.h"
#include "agent/store/names.h"
#include "agent/store/snapshotter.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::bake {

enum class Restoration { was_whole, restored };

/// Restores one recorded image in all its namespaces from this disk alone: adopts blobs from other
/// namespaces, sets the labels that protect them, unpacks what is missing into `snapshotters` (one
/// for each namespace, also if it was baked for another one), creates and pins names, and asks CRI.
/// It may be repeated, and interrupted. A name that now points at another image is left alone.
/// `pinned` are the names to pin.
/// `lock` is the one of the state directory.
/// @throws Error not_found naming what is not on the disk; unavailable as soon as containerd goes
/// away, because it may return with another configuration; otherwise as bake().
Restoration restore(const BakeLock& lock, const v1::BakedImage& image,
                    const store::Snapshotters& snapshotters, const store::NameSet& pinned,
                    const std::filesystem::path& state_dir,
                    const containerd::Connection& connection, EventSink& events);

}  // namespace prebake::bake
