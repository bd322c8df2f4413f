#include <array>
#include <string>

#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/storage_roots.h"
#include "agent/machine/root.h"

// What containerd keeps below a root directory that is configured. The targets of these items name
// the usual directory, so that they are found even if the configuration is gone.
namespace prebake::identity {
namespace {

/// Below containerd's root directory.
constexpr std::array<std::string_view, 5> kLeftovers{
    "/io.containerd.runtime.v1.linux/*/*",            // containerd 1.x with its first shim
    "/io.containerd.runtime.v2.task/*/*",             // by namespace and ID
    "/io.containerd.sandbox.controller.v1.shim/*/*",  // the same for sandboxes, since 2.0
    "/io.containerd.grpc.v1.cri/containers/*",        // CRI's, under this name in 2.x too
    "/io.containerd.grpc.v1.cri/sandboxes/*"};

}  // namespace

Changes containerd_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string& state : containerd_roots(root)) {
        changes.push_back(
            {Change::Kind::remove, state + "/io.containerd.grpc.v1.introspection/uuid", {}});
    }
    return changes;
}

Changes containerd_containers_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string& state : containerd_roots(root)) {
        for (const std::string_view pattern : kLeftovers) {
            for (std::string& path : root.match(state + std::string(pattern)))
                changes.push_back({Change::Kind::remove, std::move(path), {}});
        }
    }
    return changes;
}

}  // namespace prebake::identity
