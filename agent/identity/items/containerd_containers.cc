#include <array>

#include "agent/identity/items/all.h"
#include "agent/identity/items/storage_roots.h"

namespace prebake::identity {
namespace {

/// Below containerd's root directory.
constexpr std::array<std::string_view, 5> kLeftovers{
    "/io.containerd.runtime.v1.linux/*/*",            // containerd 1.x with its first shim
    "/io.containerd.runtime.v2.task/*/*",             // by namespace and id
    "/io.containerd.sandbox.controller.v1.shim/*/*",  // the same for sandboxes, from 2.0
    "/io.containerd.grpc.v1.cri/containers/*",        // of CRI, under this name in 2.x as well
    "/io.containerd.grpc.v1.cri/sandboxes/*"};

Changes further(const machine::Root& root, const ItemSettings&) {
    const std::string state = containerd_root(root);
    Changes changes;
    for (const std::string_view pattern : kLeftovers) {
        for (std::string& path : root.match(state + std::string(pattern)))
            changes.push_back({Change::Kind::remove, std::move(path), {}});
    }
    return changes;
}

}  // namespace

// Never content, metadata and snapshots: images are baked there. What /run/containerd holds is
// gone with the builder's memory.
Item containerd_containers_item() {
    return {
        .name = "containerd-containers",
        .order = 430,
        .why =
            "Specifications, host names and logs of the builder's containers would be on every "
            "clone.",
        .back = "containerd makes it anew with the next container.",
        .further = further,
        .further_says =
            "removes what ended containers left in containerd's root directory "
            "(/var/lib/containerd, else `root` of its config.toml): io.containerd.runtime.*, "
            "io.containerd.sandbox.controller.*, io.containerd.grpc.v1.cri",
    };
}

}  // namespace prebake::identity
