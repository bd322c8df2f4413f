#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/file.h"

namespace prebake::hydrate {

/// Where the kernel shows its settings, and where what was changed is noted. Tests have their own.
struct ReadAheadPlaces {
    std::filesystem::path sys = "/sys";
    std::filesystem::path runtime = "/run/prebake";
};

/// Switches off the kernel's read-ahead of file systems during the life of the object: with it, one
/// page that a container touches brings up to megabytes around it into the page cache. What is
/// opened from then on is read without it. The old values are noted in the runtime directory
/// first, for restore_read_ahead() after this process was killed.
class NoReadAhead {
  public:
    /// `devices` are the st_dev of files. Those without such a setting (file systems in memory)
    /// are left alone. Puts back what a killed process has left, first.
    /// @throws Error permission_denied, io; conflict if another process is recording.
    NoReadAhead(const std::vector<dev_t>& devices, ReadAheadPlaces places);
    /// Puts the values back.
    ~NoReadAhead();
    NoReadAhead(const NoReadAhead&) = delete;
    NoReadAhead& operator=(const NoReadAhead&) = delete;

    /// False if one of the devices has no such setting.
    bool is_complete() const { return is_complete_; }

  private:
    ReadAheadPlaces places_;
    bool is_complete_ = true;
    FileLock lock_;  // others do not put back what this one needs
};

/// Puts back what a recording that was killed has left, and returns the devices ("8:0"). Does
/// nothing if there is no note, or if the recording still runs. A note of another boot is only
/// removed: its devices may be others now, and the kernel has begun with its defaults. @throws
/// Error permission_denied, io; corrupt if the note cannot be read.
std::vector<std::string> restore_read_ahead(const ReadAheadPlaces& places = {});

}  // namespace prebake::hydrate
