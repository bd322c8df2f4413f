#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "agent/hydrate/block_reading.h"

/// How a hydration ends, and what it says then. Pure.
namespace prebake::hydrate {

/// The fields of v1::Hydration with these names.
struct Ending {
    std::string state;
    std::string message;
    std::string next_step;
};

/// What is known of the volumes of a plan, beside what was read of them.
struct PlanOnMachine {
    std::vector<std::string> absent;    ///< why nothing of a volume can be read
    std::size_t finished = 0;           ///< volumes that an earlier run has read
    std::vector<std::string> left_out;  ///< why a volume that is here is not read
    bool is_measured = true;            ///< false: some of these were not probed
};

/// Of a run that finds nothing to read.
Ending ending_without_reading(const PlanOnMachine& plan);

struct WhatWasRead {
    ReadingEnd end = ReadingEnd::all;
    std::chrono::milliseconds deadline{0};
    std::vector<std::string> troubles;  ///< what could not be read of volumes that are here
    std::string summary;
};

/// Of a run that has read something.
Ending ending_of_reading(const WhatWasRead& read, const PlanOnMachine& plan);

}  // namespace prebake::hydrate
