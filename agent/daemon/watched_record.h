#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "agent/guard/activity_log.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::daemon {

/// The bake record as it was last read. If it cannot be read, the last one stays in use, and a
/// standing warning says so.
class WatchedRecord {
  public:
    WatchedRecord(std::filesystem::path state_dir, guard::ActivityLog& log)
        : state_dir_(std::move(state_dir)), log_(log) {}

    /// True if the record has changed.
    bool read();

    const v1::BakeRecord& record() const { return record_; }
    /// Why the last read() failed; empty if it did not.
    const std::string& problem() const { return problem_; }

  private:
    const std::filesystem::path state_dir_;
    guard::ActivityLog& log_;
    v1::BakeRecord record_;
    std::string problem_;
};

}  // namespace prebake::daemon
