#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "agent/daemon/service_notifier.h"
#include "agent/report/status_holder.h"

namespace prebake::daemon {

struct PublicationOptions {
    std::filesystem::path socket;  ///< the endpoint's; the last status lies beside it. Empty: none
    bool ssm_inventory = true;
};

/// Carries what the holder says to where others look for it without asking the endpoint: systemd's
/// status line, the last status in /run, SSM's inventory. Not thread-safe.
class Publication {
  public:
    using Clock = std::chrono::steady_clock;

    /// `warn` logs one line.
    Publication(PublicationOptions options, const ServiceNotifier& notifier,
                std::function<void(const std::string&)> warn)
        : options_(std::move(options)), notifier_(notifier), warn_(std::move(warn)) {}

    /// Passes on what has changed; the same view again is nothing new. Problems are logged once
    /// each, and tried again with the next change.
    void update(const std::shared_ptr<const report::NodeView>& view, Clock::time_point now);
    /// When update() is to be called again although nothing changes; nothing is due otherwise.
    std::optional<Clock::time_point> next_due() const { return inventory_due_; }

  private:
    void write_last_status(const v1::NodeStatus& status);
    void write_inventory(const report::NodeView& view, Clock::time_point now);
    void complain(std::string& last, const std::string& problem);

    const PublicationOptions options_;
    const ServiceNotifier& notifier_;
    const std::function<void(const std::string&)> warn_;
    std::weak_ptr<const report::NodeView> last_;  ///< the view of the last update()
    std::string told_;  ///< what readers were told last: verdict and conditions
    std::string status_line_;
    std::string status_problem_;
    std::string inventory_problem_;
    std::optional<Clock::time_point> inventory_due_;
    std::optional<Clock::time_point> inventory_written_;
};

/// Verdict and conditions without their times: what is worth telling when it changes. Pure.
std::string essence_of(const v1::NodeStatus& status);

}  // namespace prebake::daemon
