#include "agent/bake/lease.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/bake/active_snapshot.h"
#include "agent/base/error.h"
#include "agent/base/timestamp.h"
#include "agent/containerd/snapshots.h"

namespace prebake::bake {
namespace {

constexpr std::chrono::hours kLifetime{24};
const std::string kOwnerLabel = "prebake/state-dir";

/// The caller holds the lock on the state directory, so no other bake of this owner is running.
std::vector<containerd::Lease> leases_of(const std::string& owner,
                                         const containerd::Leases& leases) {
    std::vector<containerd::Lease> found = leases.list();
    std::erase_if(found, [&](const containerd::Lease& lease) {
        const auto label = lease.labels.find(kOwnerLabel);
        return label == lease.labels.end() || label->second != owner;
    });
    return found;
}

bool remove_trees_of(const containerd::Connection& connection, const containerd::Scope& leased) {
    bool has_removed = false;
    for (const containerd::LeasedSnapshot& snapshot :
         containerd::Leases(connection, leased.ns).snapshots(leased.lease)) {
        if (!ActiveSnapshot::is_key(snapshot.name)) continue;
        containerd::Snapshots(connection, leased, snapshot.snapshotter).remove(snapshot.name);
        has_removed = true;
    }
    return has_removed;
}

}  // namespace

BakeLease::BakeLease(const containerd::Connection& connection, std::vector<std::string> namespaces,
                     std::string owner)
    : connection_(connection), namespaces_(std::move(namespaces)), owner_(std::move(owner)) {
    id_ = timestamped("prebake-");
    for (const std::string& ns : namespaces_) {
        containerd::Leases(connection_, ns).create(id_, kLifetime, {{kOwnerLabel, owner_}});
    }
}

void BakeLease::release(containerd::Collection collection) const {
    std::vector<std::pair<std::string, std::string>> found;  // namespace, id
    for (const std::string& ns : namespaces_) {
        for (const containerd::Lease& lease :
             leases_of(owner_, containerd::Leases(connection_, ns))) {
            found.emplace_back(ns, lease.id);
        }
    }
    // One collection serves all namespaces.
    for (const auto& each : found) {
        const bool is_last = &each == &found.back();
        containerd::Leases(connection_, each.first)
            .remove(each.second, is_last ? collection : containerd::Collection::later);
    }
}

void BakeLease::release_or_tell(containerd::Collection collection, const std::string& whose,
                                const std::string& image, EventSink& events) const {
    try {
        release(collection);
    } catch (const Error& error) {
        notice(
            events, image,
            "cannot remove the lease of " + whose + "; it expires in 24 hours: " + error.message());
    }
}

bool remove_unfinished_trees(const containerd::Connection& connection,
                             const std::vector<std::string>& namespaces, const std::string& owner) {
    bool has_removed = false;
    for (const std::string& ns : namespaces) {
        for (const containerd::Lease& lease :
             leases_of(owner, containerd::Leases(connection, ns))) {
            try {
                has_removed |= remove_trees_of(connection, {.ns = ns, .lease = lease.id});
            } catch (const Error& error) {
                // The lease has expired meanwhile, or containerd has lost the snapshotter.
                if (error.code() != Errc::not_found) throw;
            }
        }
    }
    if (has_removed) containerd::Leases(connection, namespaces.front()).collect_garbage();
    return has_removed;
}

}  // namespace prebake::bake
