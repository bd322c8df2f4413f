#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "agent/base/clock.h"
#include "agent/ledger/disk_warmth.h"
#include "agent/report/last_status.h"
#include "agent/report/node_hydration.h"

namespace prebake::daemon {

/// What prebake-hydrate.service has written, as it was last read.
class WatchedHydration {
  public:
    using SteadyTime = std::chrono::steady_clock::time_point;

    /// `boot_id` is that of the running kernel: what was written in another boot does not count.
    WatchedHydration(std::filesystem::path state_dir, std::filesystem::path runtime_dir,
                     TimeSource clock, std::string boot_id = report::kernel_boot_id())
        : state_dir_(std::move(state_dir)),
          runtime_dir_(std::move(runtime_dir)),
          clock_(std::move(clock)),
          boot_id_(std::move(boot_id)) {}

    void read();
    /// When to read after a change of the files: at most once a second.
    SteadyTime next_read() const { return read_at_ + kInterval; }

    report::HydrationFacts facts() const;
    /// When facts() changes although no file does; nothing: never.
    std::optional<SteadyTime> falls_silent_at() const;
    /// For the ledger; nothing: it is not known whether there is anything to hydrate.
    std::optional<ledger::DiskWarmth> warmth() const;

  private:
    static constexpr std::chrono::seconds kInterval{1};
    /// The service writes every second while it works, and a single read may take a minute.
    static constexpr std::chrono::seconds kPatience{30};

    void read_plan();
    void read_progress();

    const std::filesystem::path state_dir_;
    const std::filesystem::path runtime_dir_;
    const TimeSource clock_;
    const std::string boot_id_;
    report::HydrationFacts facts_;
    SteadyTime read_at_{};
    /// When the service last wrote. Kept by the steady clock: at boot the other one is often set.
    SteadyTime written_at_{};
};

}  // namespace prebake::daemon
