#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "agent/bake/survey.h"
#include "agent/containerd/events.h"
#include "agent/containerd/images.h"
#include "agent/guard/activity_log.h"
#include "agent/ledger/accounts.h"
#include "agent/store/holdings.h"

namespace prebake::daemon {

/// Tells the accounts what happens in containerd, and finds out there what they need to know.
class LedgerFeed {
  public:
    LedgerFeed(ledger::Accounts& accounts, const containerd::Connection& connection,
               guard::ActivityLog& log)
        : accounts_(accounts), connection_(connection), log_(log) {}

    /// Makes known every image of every namespace, then counts the starts that were missed; returns
    /// how many. `known` are the snapshotters that are known already. @throws Error unavailable,
    /// cancelled.
    std::size_t list_everything(const store::Snapshotters& known, Time now,
                                const std::function<void()>& on_step);

    /// An event about a snapshot, a blob, or the end of an image's name.
    void on_event(const containerd::Event& event);
    /// A name that somebody created or updated. @throws Error unavailable, cancelled; what cannot
    /// be described (not an image, partly pulled) is left out.
    void image_named(const std::string& ns, const containerd::Image& image, std::optional<Time> at);
    /// These images were made whole again by ourselves, in these namespaces.
    void restored(const v1::BakeRecord& images, const store::Snapshotters& snapshotters);

  private:
    void snapshot_prepared(const containerd::Event& event);
    void describe_news(const store::Holdings& holdings);
    std::optional<v1::BakedImage> describe(const std::string& ns, const containerd::Image& image);

    ledger::Accounts& accounts_;
    const containerd::Connection& connection_;
    guard::ActivityLog& log_;
    // A pull names one image three times.
    std::string described_;  ///< "namespace target"
    std::optional<v1::BakedImage> description_;
    std::map<std::string, std::chrono::steady_clock::time_point> listed_;  ///< namespace -> when
};

}  // namespace prebake::daemon
