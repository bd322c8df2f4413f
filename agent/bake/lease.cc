#include "agent/bake/lease.h"

#include <chrono>

#include "agent/containerd/leases.h"

namespace prebake::bake {
namespace {

constexpr std::chrono::hours kLifetime{24};
const std::string kOwnerLabel = "prebake/state-dir";

}  // namespace

BakeLease::BakeLease(const containerd::Connection& connection, std::vector<std::string> namespaces,
                     std::string owner)
    : connection_(connection), namespaces_(std::move(namespaces)), owner_(std::move(owner)) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    id_ = "prebake-" + std::to_string(std::chrono::nanoseconds(now).count());
    for (const std::string& ns : namespaces_) {
        containerd::Leases(connection_, ns).create(id_, kLifetime, {{kOwnerLabel, owner_}});
    }
}

void BakeLease::release() const {
    for (const std::string& ns : namespaces_) {
        const containerd::Leases leases(connection_, ns);
        for (const containerd::Lease& lease : leases.list()) {
            const auto owner = lease.labels.find(kOwnerLabel);
            // We hold the lock on the state directory, so no other bake of this owner is running.
            if (owner != lease.labels.end() && owner->second == owner_) leases.remove(lease.id);
        }
    }
}

}  // namespace prebake::bake
