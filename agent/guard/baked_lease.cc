#include "agent/guard/baked_lease.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "agent/base/error.h"
#include "agent/containerd/containers.h"
#include "agent/containerd/leases.h"

namespace prebake::guard {
namespace {

/// The clock may be set while the machine boots. A lease that expires later than ours can is made
/// again.
constexpr std::chrono::minutes kClockError{10};

/// Holds the content while the lease is renewed.
constexpr const char* kBridge = "prebake-baked-renewal";
constexpr std::chrono::minutes kBridgeLifetime{10};

std::optional<containerd::Lease> find_lease(const std::vector<containerd::Lease>& all,
                                            const std::string& id) {
    const auto found = std::ranges::find(all, id, &containerd::Lease::id);
    if (found == all.end()) return {};
    return *found;
}

bool is_current(const containerd::Lease& lease, Time now) {
    if (!lease.expires_at) return false;
    const auto left = *lease.expires_at - now;
    return left > BakedLease::kLifetime / 2 && left < BakedLease::kLifetime + kClockError;
}

}  // namespace

void BakedLease::hold(const HeldContent& content, Time now) {
    std::map<std::string, const std::set<std::string>*> wanted;
    static const std::set<std::string> kNothing;
    if (!is_complete_) {
        for (const std::string& ns : containerd::namespaces(connection_)) wanted[ns] = &kNothing;
    }
    for (const auto& [ns, held] : held_) wanted[ns] = &kNothing;
    for (const auto& [ns, digests] : content) wanted[ns] = &digests;
    std::optional<Error> failure;
    for (const auto& [ns, digests] : wanted) {
        try {
            hold_in(ns, *digests, now);
        } catch (const Error& error) {
            if (containerd::ends_session(error)) throw;
            if (!failure) failure = error;
        }
    }
    if (failure) throw Error(*failure);
    is_complete_ = true;
}

void BakedLease::look_again() {
    is_complete_ = false;
    std::erase_if(held_, [](const auto& entry) { return !entry.second.is_refused; });
}

void BakedLease::start_over() {
    is_complete_ = false;
    held_.clear();
}

void BakedLease::explain(const std::string& ns) {
    const auto held = held_.find(ns);
    if (held == held_.end() || held->second.digests.empty() || held->second.is_explained) return;
    held->second.is_explained = true;
    log_.note(
        Severity::info,
        "names of baked images in " + ns +
            " were deleted and are restored. To delete baked images for good, first: ctr -n " + ns +
            " leases rm " + kId +
            "; then crictl rmi, or ctr images rm --sync. The node is not ready without them");
}

void BakedLease::hold_in(const std::string& ns, const std::set<std::string>& digests, Time now) {
    const bool is_known = held_.contains(ns);
    Held held = is_known ? held_.at(ns) : Held{};
    if (held.is_refused || (held.is_complete && digests.empty() && held.digests.empty())) return;

    const containerd::Leases leases(connection_, ns);
    const std::vector<containerd::Lease> all = leases.list();
    const std::optional<containerd::Lease> found = find_lease(all, kId);
    // Of a renewal that did not end: the daemon was killed, or a call failed.
    bool is_bridged = find_lease(all, kBridge).has_value();
    const bool is_removed = !found && !held.digests.empty() && now < held.expires_at;
    if (is_bridged && (is_removed || digests.empty())) leases.remove(kBridge);
    if (is_removed) {
        held_[ns] = {.digests = {}, .expires_at = {}, .is_refused = true};
        log_.note(Severity::info,
                  "the lease " + std::string(kId) + " in " + ns +
                      " was removed: the content of baked images that are deleted now is lost. "
                      "systemctl reload prebaked creates the lease again");
        return;
    }
    if (digests.empty()) {
        if (found) leases.remove(kId);
        held_[ns] = {.digests = {}, .expires_at = {}, .is_complete = true};
        return;
    }
    const bool is_renewed = found && !is_current(*found, now);
    if (!found || is_renewed) {
        held_.erase(ns);
        if (is_renewed) {
            leases.remove(kBridge);
            leases.create(kBridge, kBridgeLifetime, {});
            is_bridged = true;
            for (const std::string& digest : digests) leases.add_blob(kBridge, digest);
            leases.remove(kId);
        }
        leases.create(kId, kLifetime, {});
        held = {.digests = {}, .expires_at = now + kLifetime};
    } else if (!is_known) {
        held = {.digests = leases.blobs(kId), .expires_at = *found->expires_at};
    }
    Held& ours = held_[ns] = held;
    ours.is_complete = false;
    for (const std::string& digest : digests) {
        if (ours.digests.contains(digest)) continue;
        leases.add_blob(kId, digest);
        ours.digests.insert(digest);
    }
    for (const std::string& digest : held.digests) {
        if (digests.contains(digest)) continue;
        leases.remove_blob(kId, digest);
        ours.digests.erase(digest);
    }
    if (is_bridged) leases.remove(kBridge);
    ours.is_complete = true;
}

}  // namespace prebake::guard
