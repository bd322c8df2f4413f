#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>

#include "agent/base/timestamp.h"
#include "agent/containerd/connection.h"
#include "agent/guard/activity_log.h"

namespace prebake::guard {

/// What a lease has to hold: digests of the targets of images, by namespace. A namespace without
/// digests needs no lease.
using HeldContent = std::map<std::string, std::set<std::string>>;

/// containerd's lease on baked content. A client may delete all names of an image and wait until
/// its content is collected (crictl rmi --prune): under the lease the content stays until the guard
/// has restored the names. One lease for each namespace, always with the same id; while it is
/// renewed, another one bridges the gap. It expires, so that it does not outlast a daemon that was
/// removed. Not thread-safe.
class BakedLease {
  public:
    static constexpr const char* kId = "prebake-baked";
    static constexpr std::chrono::hours kLifetime{24};

    BakedLease(const containerd::Connection& connection, ActivityLog& log)
        : connection_(connection), log_(log) {}

    /// Makes the leases hold exactly `content`, and nothing in other namespaces. If they do, it
    /// takes one call for each namespace. A lease that a client has removed is not created again,
    /// because the client wants the space. A namespace that fails does not keep the others from
    /// being held. @throws Error the first of them; it may be called again.
    void hold(const HeldContent& content, Time now);
    /// containerd may have other leases now: looks at them again.
    void look_again();
    /// The operator asks for the leases again that clients have removed.
    void start_over();
    /// Names of images of this namespace were deleted and restored: logs once how to delete them
    /// for good, if it is the lease that kept their content.
    void explain(const std::string& ns);

  private:
    struct Held {
        std::set<std::string> digests;
        Time expires_at{};
        bool is_complete = false;  ///< containerd has just that, and nothing of a renewal
        bool is_refused = false;   ///< by a client
        bool is_explained = false;
    };

    void hold_in(const std::string& ns, const std::set<std::string>& digests, Time now);

    const containerd::Connection& connection_;
    ActivityLog& log_;
    std::map<std::string, Held> held_;  ///< by namespace
    bool is_complete_ = false;          ///< held_ has every namespace that may have a lease of ours
};

}  // namespace prebake::guard
