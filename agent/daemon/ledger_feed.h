#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/containerd/events.h"
#include "agent/containerd/images.h"
#include "agent/guard/activity_log.h"
#include "agent/guard/reconcile.h"
#include "agent/ledger/accounts.h"
#include "agent/store/holdings.h"
#include "agent/store/snapshotter.h"

namespace prebake::daemon {

/// Passes on to the accounts what happens in containerd, and reads from containerd what they need
/// to count it.
class LedgerFeed {
  public:
    LedgerFeed(ledger::Accounts& accounts, const containerd::Connection& connection,
               guard::ActivityLog& log, TimeSource clock)
        : accounts_(accounts), connection_(connection), log_(log), clock_(std::move(clock)) {}

    /// Describes every image of every namespace to the accounts, then has them count the starts
    /// that no event reported; returns how many. `known` has the snapshotters of some namespaces.
    /// Calls `is_wanted` before each namespace, which is left out if it returns false.
    /// @throws Error unavailable, cancelled.
    std::size_t list_everything(const store::Snapshotters& known, Time now,
                                const std::function<bool(const std::string& ns)>& is_wanted);

    /// Any event. `held` is the image of an image_created or image_updated event as it is now;
    /// nothing if it is gone. @throws Error unavailable, cancelled.
    void on_event(const containerd::Event& event, const std::optional<containerd::Image>& held);
    /// A pull, or a client that named the image by hand. An image that cannot be described (it is
    /// partly pulled, or no image at all) is skipped. @throws Error unavailable, cancelled.
    void image_named(const std::string& ns, const containerd::Image& image, std::optional<Time> at);
    /// prebake restored `parts` from the disk, which was no pull.
    /// @throws Error unavailable, cancelled.
    void restored(const guard::RestoredParts& parts, const store::Snapshotters& snapshotters);

  private:
    void snapshot_prepared(const containerd::Event& event);
    void task_started(const containerd::Event& event);
    std::vector<ledger::ListedContainer> containers_of(const std::string& ns) const;
    void describe_news(const store::Holdings& holdings);
    std::optional<v1::BakedImage> describe(const std::string& ns, const containerd::Image& image);

    ledger::Accounts& accounts_;
    const containerd::Connection& connection_;
    guard::ActivityLog& log_;
    TimeSource clock_;
    // The last description: a pull names one image three times.
    std::string described_;  ///< "namespace target"
    std::optional<v1::BakedImage> description_;
    std::map<std::string, std::chrono::steady_clock::time_point> listed_;  ///< namespace -> when
};

}  // namespace prebake::daemon
