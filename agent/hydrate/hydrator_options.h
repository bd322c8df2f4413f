#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "agent/hydrate/planned_volumes.h"
#include "agent/hydrate/probe.h"
#include "agent/hydrate/yielding.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

enum class NoteLevel { info, warning };

enum class Extent {
    planned,  ///< as configured
    all,      ///< to its end: without deadline, limit of rate and stepping aside. For warm pools
};

enum class Repetition {
    resume,  ///< what was read before is not read again
    again
};

struct HydratorOptions {
    HydrateMode mode = HydrateMode::automatic;
    Extent extent = Extent::planned;
    Repetition repetition = Repetition::resume;
    std::uint64_t rate = 0;  ///< bytes a second; 0: no limit
    unsigned depth = 64;     ///< the most reads in flight
    std::chrono::milliseconds deadline{15 * 60'000};
    std::chrono::milliseconds read_limit{90'000};  ///< a read that takes longer has failed
    std::filesystem::path state_dir = "/var/lib/prebake";
    std::filesystem::path runtime_dir = "/run/prebake";
    /// State directories of containerd, where containers show when they are created, and its
    /// configuration file, which may name another one.
    std::vector<std::filesystem::path> containerd_states = usual_containerd_states();
    std::filesystem::path containerd_config = "/etc/containerd/config.toml";
    std::function<PlannedVolumes(const v1::HydrationPlan&)> find_volumes;
    std::function<void(NoteLevel, const std::string&)> note;
    /// Ten times a second, for a terminal.
    std::function<void(const v1::Hydration&)> on_progress;
};

}  // namespace prebake::hydrate
