#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/hydrate/block_reading.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

struct FileLimits {
    unsigned threads = 16;
    std::uint64_t rate = 0;  ///< bytes a second; 0: no limit
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

/// How far it is.
struct FileProgress {
    std::uint64_t bytes = 0;  ///< of the files of the present rank
    std::uint64_t files = 0;
    std::uint64_t failed = 0;   ///< files and directories that could not be read
    std::uint64_t missing = 0;  ///< of those that the plan names
    std::string first_missing;
};

/// Reads the files of a plan that are on one of `file_systems` (st_dev), one rank after the other:
/// directories with all that is in them, several at a time. Links are not followed, and other file
/// systems not entered. What the first containers need stays in the page cache; the rest goes past
/// it where the file system can do that. What `trace` has of the plan's layers is read as rank
/// TRACED. Does not wait for a read that never ends.
/// `on_rank` is called before each rank, and `on_tick` ten times a second.
ReadingEnd read_planned_files(const v1::HydrationPlan& plan, const v1::ReadTrace& trace,
                              const std::vector<dev_t>& file_systems, const FileLimits& limits,
                              const std::stop_token& stop,
                              const std::function<void(v1::HydrationRank)>& on_rank,
                              const std::function<void(const FileProgress&)>& on_tick);

}  // namespace prebake::hydrate
