#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/docker/engine.h"
#include "agent/hydrate/plan_maker.h"
#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::cli {

/// Where the files of baked images are found.
struct ImageStores {
    const containerd::Connection& containerd;
    docker::Engine* docker = nullptr;  ///< null: no image is in a graph driver
};

/// Makes the plan of what nodes read ahead, from all that is recorded, and writes it, unless the
/// one that is there is of the same images and recordings, and of this disk. Nothing has changed
/// then. Calls `on_begin` before it makes one.
/// The record and all files must be on the disk.
/// @throws Error permission_denied, io, no_space.
std::optional<hydrate::MadePlan> update_hydration_plan(const std::filesystem::path& state_dir,
                                                       const v1::BakeRecord& record,
                                                       const v1::ReadTrace& trace,
                                                       const ImageStores& stores,
                                                       const std::function<void()>& on_begin);

}  // namespace prebake::cli
