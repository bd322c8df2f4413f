#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/bake/event.h"
#include "agent/bake/survey.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/events.h"
#include "agent/containerd/images.h"
#include "agent/daemon/ledger_feed.h"
#include "agent/daemon/node_loop.h"
#include "agent/daemon/timer.h"
#include "agent/guard/activity_log.h"
#include "agent/guard/cri_settings.h"
#include "agent/guard/pin_enforcer.h"
#include "agent/guard/protected_images.h"
#include "agent/guard/reconcile.h"
#include "agent/guard/suspicions.h"
#include "agent/ledger/accounts.h"
#include "agent/report/conditions.h"

namespace prebake::daemon {

/// What an event has to be followed by.
enum class FollowUp { none, check_everything };

/// Keeps the protected images usable: checks and repairs them all, then what events say against
/// single ones, and their pins within the budget. Writes what it finds into the report::NodeFacts.
/// Every call throws Error unavailable and cancelled when containerd goes away in the middle of it;
/// it can then be repeated.
class ImageGuard {
  public:
    struct Surroundings {
        const NodeLoopOptions& options;
        const containerd::Connection& connection;
        ledger::Accounts& accounts;
        LedgerFeed& ledger_feed;
        guard::ActivityLog& log;
        bake::EventSink& events;
        report::NodeFacts& facts;
        std::function<void(const guard::RepairProgress&)> on_progress;
    };

    explicit ImageGuard(Surroundings surroundings);

    void set_record(const v1::BakeRecord& record);
    guard::ProtectedImages& images() { return images_; }
    const store::Snapshotters& snapshotters() const { return snapshotters_; }

    /// At the begin of a session, and when events were lost: nothing of before is relied upon.
    void check_everything();
    FollowUp on_event(const containerd::Event& event);
    std::optional<guard::SteadyTime> suspects_due() const { return suspicions_.due(); }
    void check_suspects(guard::SteadyTime now);
    /// Tells the accounts what was repaired; before they see it in a listing.
    void settle_accounts();

    bool has_pin_limits() const { return pins_.has_limits(); }
    void keep_budget();

  private:
    void read_cri_settings();
    void adopt_sandbox();
    /// Nothing, and a warning, if it cannot be described.
    std::optional<v1::BakedImage> describe_sandbox(const containerd::Image& held);
    void set_baked(v1::BakeRecord record, store::SandboxImage sandbox);
    FollowUp on_image_named(const containerd::Event& event);
    void on_same_target(const containerd::Event& event, containerd::Image& held,
                        const std::vector<guard::ImageKey>& keys);
    void pin_again(const containerd::Event& event, const containerd::Image& held,
                   const guard::ImageKey& key);
    std::vector<guard::ImageKey> not_unpacked(std::vector<guard::ImageKey> keys) const;
    void suspect(const std::vector<guard::ImageKey>& keys, const std::string& why);
    /// Of what the budget has unpinned: what is gone, and what is back.
    void find_evicted();
    bool is_moved(const std::vector<guard::ImageKey>& keys) const;
    bool was_pulled(const std::string& ns, const containerd::Image& held);
    void take_in(guard::Reconciled reconciled,
                 const std::function<std::string(const guard::ImageKey&)>& why);
    void replace_health(std::vector<guard::ImageHealth> checked);
    void decorate();
    void show_progress(const guard::RepairProgress& progress);

    Surroundings with_;
    guard::ProtectedImages images_;
    store::Snapshotters snapshotters_;
    guard::Suspicions suspicions_;
    guard::RepairAllowance allowance_;
    std::map<guard::ImageKey, Backoff> retries_;  ///< of what could not be repaired last time
    guard::PinEnforcer pins_;
    guard::CriSettingsReader cri_settings_;
    Time checked_at_{};  ///< when images were checked or repaired last: no later write was ours
    std::map<std::string, Time>
        pulled_at_;  ///< namespace and target -> when a pull wrote its labels
    std::set<guard::ImageKey> repaired_;
    std::set<guard::ImageKey> to_settle_;  ///< repaired, and the accounts do not know
};

}  // namespace prebake::daemon
