#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/guard/activity_log.h"
#include "agent/guard/protected_images.h"
#include "agent/guard/reconcile.h"
#include "agent/ledger/accounts.h"
#include "agent/report/conditions.h"
#include "agent/report/status_holder.h"

namespace prebake::daemon {

/// Judges what is known, and puts it on the holder.
class StatusEvaluator {
  public:
    struct Sources {
        report::StatusHolder& holder;
        guard::ActivityLog& log;
        const ledger::Accounts& accounts;
        const guard::ProtectedImages& images;
        const report::NodeFacts& facts;
        std::vector<std::string> gates;
        std::string boot_id;
        std::string prebake_version;
    };

    explicit StatusEvaluator(Sources sources) : from_(std::move(sources)) {}

    /// containerd answers; the time to ready counts from the first time.
    void containerd_answered(const std::string& version);
    /// When this boot was ready first; set if an earlier run of the daemon saw it.
    const v1::Times& times() const { return times_; }
    void set_times(const v1::Times& times) { times_ = times; }

    void publish();
    /// While images are being repaired there is no verdict on them.
    void publish_progress(const guard::RepairProgress& progress);

  private:
    void evaluate_conditions();
    void put_into_holder(const report::Verdict& verdict) const;
    void note_ready(const report::Verdict& verdict);
    void note_verdict(const report::Verdict& verdict);

    Sources from_;
    std::vector<v1::Condition> conditions_;
    v1::Times times_;
    std::string containerd_version_;
    std::optional<std::chrono::steady_clock::time_point> answered_at_;
    std::string last_verdict_;
};

}  // namespace prebake::daemon
