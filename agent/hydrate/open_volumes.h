#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/hydrate/ending.h"
#include "agent/hydrate/hydrator_options.h"
#include "agent/hydrate/planned_volumes.h"
#include "agent/hydrate/volume_reading.h"

namespace prebake::hydrate {

struct VolumesToRead {
    std::vector<VolumeReading> volumes;            ///< with an open device, or read before
    std::vector<v1::HydratedVolume> file_volumes;  ///< the others: by name, or not at all
    std::vector<dev_t> file_systems;               ///< st_dev of those to be read by name
    PlanOnMachine on_machine;
};

/// Opens the devices of a plan's volumes, and decides which files are read by name instead, and why
/// some are not. `before` is the document of an earlier run; of another plan than `plan_hash` it
/// says nothing.
VolumesToRead open_volumes(const v1::HydrationPlan& plan, PlannedVolumes planned,
                           const v1::Hydration& before, const std::string& plan_hash,
                           const HydratorOptions& options);

}  // namespace prebake::hydrate
