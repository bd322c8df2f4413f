#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "agent/hydrate/depth.h"
#include "agent/hydrate/disk.h"
#include "agent/hydrate/ebs_log.h"
#include "agent/hydrate/planned_volumes.h"
#include "agent/hydrate/probe.h"
#include "agent/hydrate/prober.h"

namespace prebake::hydrate {

/// A volume whose block device is open, and what is known of it.
struct VolumeReading {
    VolumeToRead planned;
    Disk disk = {};
    FileDescriptor device = {};
    std::uint64_t bytes = 0;               ///< of the device, at the start
    std::vector<std::uint64_t> done = {};  ///< of each part, in runs before this one
    ChunkSet failed_before = {};           ///< and that is to be tried again
    bool is_finished_before = false;       ///< nothing of it is left to read
    std::unique_ptr<Prober> prober = {};   ///< nothing: there is nothing left to read
    ProbeVerdict verdict = {};
    LazyDecision decision = {};
    HydrateMode mode = HydrateMode::automatic;
    Touch touch = Touch::unknown;
    DepthControl control{DepthLimits()};
    unsigned in_flight = 0;
    unsigned failures = 0;     ///< since the last read that succeeded
    std::uint64_t chunks = 0;  ///< that were read
    double peak_rate = 0;      ///< bytes in the best second
    unsigned peak_depth = 0;   ///< the depth then
    std::string trouble = {};  ///< why nothing more of it is read: it has vanished
    std::string shrunk = {};   ///< that its device became smaller; empty: it did not
    std::optional<EbsLog> first_log = {};
    EbsActivity activity = {};
};

}  // namespace prebake::hydrate
