#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/backoff.h"
#include "agent/base/clock.h"
#include "agent/base/timestamp.h"
#include "agent/containerd/config_file.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/cri.h"
#include "agent/containerd/events.h"
#include "agent/containerd/images.h"
#include "agent/guard/activity_log.h"
#include "agent/guard/baked_lease.h"
#include "agent/guard/cri_settings.h"
#include "agent/guard/disk_usage.h"
#include "agent/guard/image_health.h"
#include "agent/guard/image_names.h"
#include "agent/guard/image_repairer.h"
#include "agent/guard/pin_enforcer.h"
#include "agent/guard/protected_images.h"
#include "agent/guard/reconcile.h"
#include "agent/guard/suspicions.h"
#include "agent/store/baked_images.h"
#include "agent/store/snapshotter.h"

namespace prebake::guard {

struct GuardOptions {
    PinLimits pin_limits;
    std::string snapshotter;    ///< empty: the one that CRI really uses
    bool keeps_deleted = true;  ///< content_to_hold() is used at all
    bool wants_sandbox = true;  ///< an unlisted sandbox image that is not there is missing
    std::function<containerd::ConfiguredRuntime()> configured_runtime;
};

/// What the guard knows about containerd and the images.
struct GuardState {
    containerd::CriService cri;
    std::string snapshotter;          ///< of k8s.io
    std::string content_directory;    ///< containerd's content store; empty: unknown
    std::string sandbox_image;        ///< CRI's name for it; empty: unknown
    bool is_sandbox_missing = false;  ///< it is wanted, and containerd has no such image
    std::vector<ImageHealth> images;  ///< as of the last check
};

/// What the guard did and noticed, for the ledger.
struct GuardActions {
    struct Name {
        std::string ns;
        std::string name;
    };
    struct Pull {
        std::string ns;
        containerd::Image image;
        Time at;
    };
    std::vector<Pull> pulled_again;  ///< without a change of what the name points to
    std::vector<Name> repinned;
    RestoredParts restored;
    std::set<std::string> named_again;  ///< namespaces with names that were deleted and restored
};

/// What an event requires of the caller.
enum class FollowUp { none, check_everything };

/// Keeps the protected images usable: checks and repairs them all, then those that an event is
/// about, and keeps the pins within their limits. Every call that throws can be repeated.
/// Not thread-safe.
class ImageGuard {
  public:
    struct Environment {
        const containerd::Connection& connection;
        ImageNames& names;
        ImageRepairer& repairer;
        DiskUsage& disk;
        ActivityLog& log;
        TimeSource clock;
        /// Called before each image that is repaired; an Error that it throws ends the repair.
        std::function<void(const RepairProgress&)> on_progress;
    };

    ImageGuard(GuardOptions options, Environment environment);

    void set_record(v1::BakeRecord record);
    ProtectedImages& images() { return images_; }
    const ProtectedImages& images() const { return images_; }
    const store::Snapshotters& snapshotters() const { return snapshotters_; }
    const GuardState& state() const { return state_; }
    /// What was done since the last call; also after a call that threw.
    GuardActions take_actions();

    /// Reads from containerd what CRI uses, and protects CRI's sandbox image.
    /// @throws Error while CRI is starting; unavailable, cancelled.
    void read_settings();
    /// Checks and repairs all images. Needs read_settings(). For the begin of a session with
    /// containerd, and after lost events: it uses nothing that was known before.
    /// @throws Error unavailable, cancelled, and as reconcile().
    void check_everything();

    /// `held` is the image of an image_created or image_updated event as it is now; nothing if it
    /// is gone. @throws Error unavailable, cancelled.
    FollowUp on_event(const containerd::Event& event, const std::optional<containerd::Image>& held);
    /// When to call notice_causes(), and then, if that time has come, check_suspects(). Nothing if
    /// there is no reason.
    std::optional<SteadyTime> suspects_due() const;
    /// Suspects the images whose repair failed for a cause that is gone by now: the disk was full,
    /// or a bake was running. Nothing reports that, so this looks once a second. Makes no calls to
    /// containerd.
    void notice_causes();
    /// Checks and repairs the images that events were about. If it throws, they stay suspected.
    /// @throws Error unavailable, cancelled, and as reconcile().
    void check_suspects();

    /// What has to outlive its names: the images that are to be pinned, without those that the
    /// budget unpinned or a client moved. Nothing while the disk has less room than its floor, so
    /// that what is deleted then is really freed. Has every namespace of the record.
    HeldContent content_to_hold() const;

    bool has_pin_limits() const { return pins_.has_limits(); }
    /// Removes and restores pins, so that the limits are kept. @throws Error unavailable,
    /// cancelled.
    void keep_budget(const UsageOf& usage);

  private:
    static constexpr std::chrono::seconds kCheckAgain{1};
    static constexpr std::chrono::seconds kCheckLatest{30};

    /// An image whose last repair failed.
    struct Retry {
        Backoff backoff;
        RetryCause cause = RetryCause::other;
        std::string why;  ///< the repair was necessary
        /// With RetryCause::disk_full: what was free before the repair. If that is unknown: when
        /// free space was read first since then.
        std::optional<std::uint64_t> free_bytes;
    };

    void set_baked(v1::BakeRecord record, store::SandboxImage sandbox);
    void protect_sandbox();
    std::optional<v1::BakedImage> try_to_describe_sandbox(const containerd::Image& held);
    FollowUp react(const containerd::Event& event, const std::optional<containerd::Image>& held);
    FollowUp on_image_named(const containerd::Event& event, const containerd::Image& held);
    void on_same_target(const containerd::Event& event, const containerd::Image& held,
                        const std::vector<ImageKey>& keys);
    void restore_pin(const containerd::Event& event, const containerd::Image& held,
                     const ImageKey& key);
    std::vector<ImageKey> keys_about(const containerd::Event& event) const;
    std::vector<ImageKey> without_our_garbage(std::vector<ImageKey> keys) const;
    std::vector<ImageKey> not_unpacked(std::vector<ImageKey> keys) const;
    std::vector<ImageKey> keys_with(const std::string& digest) const;
    void suspect_unwell(const containerd::Event& event,
                        const std::optional<containerd::Image>& held);
    void retry_later(const ImageKey& key, RetryCause cause, const std::string& why);
    bool is_gone(const ImageKey& key, const Retry& retry) const;
    const ImageHealth* health_of(const ImageKey& key) const;
    std::optional<std::uint64_t> free_bytes(const std::string& ns) const;
    void suspect(const std::vector<ImageKey>& keys, const std::string& why);
    bool is_moved(const std::vector<ImageKey>& keys) const;
    bool was_pulled(const std::string& ns, const containerd::Image& held);
    Reconciled run_reconcile(const v1::BakeRecord& wanted,
                             const std::function<bool(const ImageKey&)>& may_repair,
                             const std::function<std::string(const ImageKey&)>& why);
    void apply(Reconciled reconciled, const std::function<std::string(const ImageKey&)>& why);
    void replace_health(std::vector<ImageHealth> checked);
    void update_flags();
    void show_progress(const RepairProgress& progress);

    Environment with_;
    bool keeps_deleted_;
    bool wants_sandbox_;
    GuardState state_;
    GuardActions actions_;
    ProtectedImages images_;
    store::Snapshotters snapshotters_;
    Suspicions suspicions_;
    RepairAllowance allowance_;
    std::map<ImageKey, Retry> retries_;
    std::optional<SteadyTime> causes_due_;
    std::map<std::string, std::optional<std::uint64_t>> free_before_;  ///< the last repairs, by ns
    Backoff check_backoff_{kCheckAgain, kCheckLatest};                 ///< after checks that threw
    PinEnforcer pins_;
    CriSettingsReader cri_settings_;
    Time checked_at_{};  ///< of the last check or repair: any later write was not ours
    std::map<std::string, Time> pulled_at_;  ///< "namespace target" -> when a pull wrote its labels
    std::set<ImageKey> repaired_;            ///< since the daemon started
};

}  // namespace prebake::guard
