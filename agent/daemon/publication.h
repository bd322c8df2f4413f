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
    std::filesystem::path socket;  ///< of the endpoint; the last status is beside it. Empty: none
    bool ssm_inventory = true;
};

/// Publishes the status for those who do not ask the endpoint: as systemd's status line, as the
/// last status in /run, and as SSM's inventory. Not thread-safe.
class Publication {
  public:
    using Clock = std::chrono::steady_clock;

    /// `warn` writes one line to the log.
    Publication(PublicationOptions options, const ServiceNotifier& notifier,
                std::function<void(const std::string&)> warn)
        : options_(std::move(options)), notifier_(notifier), warn_(std::move(warn)) {}

    /// Publishes what has changed since the last view. A problem is logged once, and publishing is
    /// retried with the next change.
    void update(const std::shared_ptr<const report::NodeView>& view, Clock::time_point now);
    /// When to call update() again even if nothing changes; nothing: never.
    std::optional<Clock::time_point> next_due() const { return inventory_due_; }

  private:
    void write_last_status(const v1::NodeStatus& status);
    void write_inventory(const report::NodeView& view, Clock::time_point now);
    void warn_once(std::string& last, const std::string& problem);

    const PublicationOptions options_;
    const ServiceNotifier& notifier_;
    const std::function<void(const std::string&)> warn_;
    std::weak_ptr<const report::NodeView> last_;  ///< the view of the last update()
    std::string essence_;                         ///< essence_of() the last status that was written
    std::string status_line_;
    std::string status_problem_;
    std::string inventory_problem_;
    std::optional<Clock::time_point> inventory_due_;
    std::optional<Clock::time_point> inventory_written_;
};

/// The parts of the status whose change is published at once: verdict and conditions, without
/// times. Pure.
std::string essence_of(const v1::NodeStatus& status);

}  // namespace prebake::daemon
