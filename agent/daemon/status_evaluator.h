#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/guard/activity_log.h"
#include "agent/guard/protected_images.h"
#include "agent/guard/reconcile.h"
#include "agent/ledger/accounts.h"
#include "agent/report/conditions.h"
#include "agent/report/status_holder.h"

namespace prebake::daemon {

/// Turns facts into conditions, a verdict and the status, and puts them into the StatusHolder.
class StatusEvaluator {
  public:
    struct Sources {
        report::StatusHolder& holder;
        guard::ActivityLog& log;
        const ledger::Accounts& accounts;
        const guard::ProtectedImages& images;
        TimeSource clock;
        std::vector<std::string> gates;
        std::string boot_id;
        std::string prebake_version;
    };

    /// `times` are those of this boot, if an earlier run of the daemon saw it ready.
    StatusEvaluator(Sources sources, v1::Times times)
        : from_(std::move(sources)), times_(std::move(times)) {}

    /// containerd answers. The time to ready counts from the first call.
    void containerd_answered(const std::string& version);
    /// When this boot was first ready.
    const v1::Times& times() const { return times_; }

    void publish(const report::NodeFacts& facts);
    /// While images are being repaired, they have no verdict: the status shows the progress.
    void publish_progress(const report::NodeFacts& facts, const guard::RepairProgress& progress);

  private:
    void evaluate_conditions(const report::NodeFacts& facts);
    void put_into_holder(const report::NodeFacts& facts, const report::Verdict& verdict) const;
    void record_ready(const report::NodeFacts& facts, const report::Verdict& verdict);
    void log_verdict(const report::Verdict& verdict);

    Sources from_;
    std::vector<v1::Condition> conditions_;
    v1::Times times_;
    std::string containerd_version_;
    std::optional<std::chrono::steady_clock::time_point> answered_at_;
    std::string last_verdict_;
};

}  // namespace prebake::daemon
