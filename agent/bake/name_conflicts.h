#pragma once

#include <vector>

#include "agent/bake/plan.h"
#include "agent/store/names.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Which image a containerd name belongs to, when several images of one bake want it. Pure.
namespace prebake::bake {

/// A name has one target: of images that claim one name for different targets, none can be baked
/// without breaking the other. Each of them gets a problem that names the other's place in the
/// lists.
void refuse_contradictions(std::vector<PlannedImage>& images);

/// The names to be pinned: those of the images to bake that want it, and those of recorded images
/// that are pinned and not baked again. Images share names (one digest under two tags): the pin of
/// one is not undone by the other.
store::NameSet pinned_names(const std::vector<PlannedImage>& images, const v1::BakeRecord& record);

}  // namespace prebake::bake
