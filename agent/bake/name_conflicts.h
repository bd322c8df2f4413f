#pragma once

#include <vector>

#include "agent/bake/plan.h"
#include "agent/store/names.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Names that several images of one bake would give to different targets, and names that several
/// images share. Pure.
namespace prebake::bake {

/// A containerd name has one target. If images have a name in common and different targets, each of
/// them gets a problem that says where the other is listed. CRI's name by image ID is no such name:
/// it may point at any manifest with that config.
void mark_name_conflicts(std::vector<PlannedImage>& images);

/// CRI's names by image ID that several images have, of this bake or of the record: an image that
/// fails must not take them away from the others.
store::NameSet shared_ids(const std::vector<PlannedImage>& images, const v1::BakeRecord& record);

/// The names to pin: those of the images to bake that are to be pinned, and those of pinned images
/// in the record that are not baked now. Images may share names (one digest under two tags): an
/// image that is not pinned leaves the pin of another one.
store::NameSet pinned_names(const std::vector<PlannedImage>& images, const v1::BakeRecord& record);

}  // namespace prebake::bake
