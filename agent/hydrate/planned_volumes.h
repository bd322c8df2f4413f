#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/hydrate/chunk_set.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// A part of a plan. The parts of a volume are in the order of reading.
struct PartToRead {
    v1::HydrationRank rank = v1::HYDRATION_RANK_UNSPECIFIED;
    std::string image;  ///< of the bake record; empty: of several, or of none
    ChunkSet chunks;
};

/// A volume of the plan that is on this machine, with its files where they were.
struct VolumeToRead {
    std::string uuid;
    std::filesystem::path mount_point;
    std::filesystem::path device;  ///< the file system's: a partition, for example
    dev_t number = 0;              ///< of `device`: st_dev of the files
    std::uint64_t bytes = 0;       ///< of `device`, now
    std::vector<PartToRead> parts;
};

/// A volume of the plan whose files are elsewhere now: they are read through the file system.
struct MovedVolume {
    std::string uuid;
    std::filesystem::path mount_point;  ///< where its files are now; empty: nowhere
    dev_t number = 0;                   ///< st_dev of what is mounted there
    std::string why;                    ///< "its device has another UUID", for people
};

struct PlannedVolumes {
    std::vector<VolumeToRead> found;
    std::vector<MovedVolume> moved;
};

/// Looks for the volumes of the plan among the mounted file systems. A volume holds if a file
/// system with its UUID is mounted, its device is not smaller, and the plan's sentinels are where
/// they were. @throws Error corrupt if the plan has places that no device has.
PlannedVolumes find_planned_volumes(const v1::HydrationPlan& plan);

}  // namespace prebake::hydrate
