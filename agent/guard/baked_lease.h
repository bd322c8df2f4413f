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
/// has restored the names. One lease for each namespace, always with the same id. It expires, so
/// that it does not outlast a daemon that was removed. Not thread-safe.
class BakedLease {
  public:
    static constexpr const char* kId = "prebake-baked";
    static constexpr std::chrono::hours kLifetime{24};

    BakedLease(const containerd::Connection& connection, ActivityLog& log)
        : connection_(connection), log_(log) {}

    /// Makes the leases hold exactly `content`. If they do, it takes one call for each namespace. A
    /// lease that a client has removed is not created again, because the client wants the space.
    /// @throws Error; it may be called again.
    void hold(const HeldContent& content, Time now);
    /// Forgets what was held, and what clients removed: after a restart of containerd, and when the
    /// operator asks.
    void start_over() { held_.clear(); }

  private:
    struct Held {
        std::set<std::string> digests;
        Time expires_at{};
        bool is_refused = false;  ///< by a client
    };

    void hold_in(const std::string& ns, const std::set<std::string>& digests, Time now);

    const containerd::Connection& connection_;
    ActivityLog& log_;
    std::map<std::string, Held> held_;  ///< by namespace
};

}  // namespace prebake::guard
