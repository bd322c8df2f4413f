#pragma once

#include <filesystem>
#include <string>

#include "agent/bake/event.h"
#include "agent/bake/name_conflicts.h"
#include "agent/bake/survey.h"
#include "agent/containerd/connection.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::bake {

enum class Restoration { was_whole, restored };

/// Makes one recorded image whole again in all its namespaces, from what is on this disk alone:
/// adopts blobs from other namespaces, sets the labels that keep them, unpacks what is missing into
/// `snapshotters` (per namespace; also where it was baked for another one), creates and pins names,
/// and asks CRI. A bake whose registry is the disk; it can be repeated, and interrupted. Names that
/// point at another image by now are left as they are. `pinned` are the names to pin.
/// @throws Error not_found naming what is not on the disk; conflict while a bake is running;
/// unavailable as soon as containerd goes away: it may come back with another configuration; as
/// bake().
Restoration restore(const v1::BakedImage& image, const store::Snapshotters& snapshotters,
                    const store::NameSet& pinned, const std::filesystem::path& state_dir,
                    const containerd::Connection& connection, EventSink& events);

}  // namespace prebake::bake
