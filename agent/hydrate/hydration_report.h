#pragma once

#include <string>
#include <vector>

#include "agent/hydrate/starting_images.h"
#include "agent/hydrate/volume_reading.h"
#include "agent/hydrate/work_list.h"
#include "proto/prebake/v1/hydration.pb.h"

/// What a hydration says of itself. Pure.
namespace prebake::hydrate {

/// "metadata", "traced", "images", "boot": for people.
std::string rank_word(v1::HydrationRank rank);

/// What the machine says of a volume, before anything is read.
v1::HydratedVolume volume_document(const VolumeToRead& planned, const Disk& disk);

/// What was found out about it, and how much of it is done.
void describe_volume(const VolumeReading& volume, v1::HydratedVolume& document);

/// Enters the ranks of the list: bytes, and at `seconds` after the start the time of each that is
/// over and was not before. Returns those.
std::vector<v1::HydrationRank> update_ranks(const WorkList& work, double seconds,
                                            v1::Hydration& document);

/// For each volume, how far each of its parts is, and what has failed. `documents` has the volumes
/// in the order of `volumes`, which the list refers to.
void update_volumes(const WorkList& work, const std::vector<VolumeReading>& volumes,
                    std::vector<v1::HydratedVolume*> documents);

/// Enters the ranks of a volume that was read in an earlier run.
void add_finished_ranks(const VolumeToRead& volume, v1::Hydration& document);

/// True if everything up to rank TRACED is done.
bool is_traced_done(const WorkList& work);

/// "cold: 6.0 MiB/s at depth 1, 140.0 MiB/s at 32; hot 310.0 MiB in 2.2 s; all 3.1 GiB in 96.0 s"
std::string summary_of(const v1::Hydration& document);

/// "reading registry.example/shop:1.4 first: a container of it is starting"
std::string promotion_note(const StartingImage& image);

/// "metadata: 12.0 MiB in 0.4 s, 30.0 MiB/s"
std::string rank_summary(const v1::Hydration& document, v1::HydrationRank rank);

}  // namespace prebake::hydrate
