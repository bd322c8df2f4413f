#include <array>
#include <string>

#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/storage_roots.h"
#include "agent/machine/root.h"

// What Docker and containerd keep below a root directory that is configured. The targets of these
// items name the usual directories, so that they are found even if the configuration is gone.
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

Changes docker_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const char* const name : {"/engine-id", "/trust/key.json"})
        changes.push_back({Change::Kind::remove, docker_root(root) + name, {}});
    // On the running machine the file is dockerd's own, and in memory. In an image it was left by a
    // dockerd in a chroot, and prevents the next one from starting.
    if (!root.is_running_machine()) {
        changes.push_back({Change::Kind::remove, "/run/docker.pid", {}});
        for (std::string& path : root.match("/var/snap/docker/*/run/docker.pid"))
            changes.push_back({Change::Kind::remove, std::move(path), {}});
    }
    return changes;
}

Changes docker_swarm_changes(const machine::Root& root, const ItemSettings&) {
    return {{Change::Kind::remove, docker_root(root) + "/swarm", {}}};
}

Changes docker_containers_changes(const machine::Root& root, const ItemSettings&) {
    const std::string state = docker_root(root);
    Changes changes{{Change::Kind::remove, state + "/network/files/local-kv.db", {}}};
    for (const char* const directory : {"/containers/", "/tmp/"}) {
        for (const std::string& name : root.names_in(state + directory))
            changes.push_back({Change::Kind::remove, state + directory + name, {}});
    }
    return changes;
}

Changes containerd_changes(const machine::Root& root, const ItemSettings&) {
    return {{Change::Kind::remove,
             containerd_root(root) + "/io.containerd.grpc.v1.introspection/uuid",
             {}}};
}

Changes containerd_containers_changes(const machine::Root& root, const ItemSettings&) {
    const std::string state = containerd_root(root);
    Changes changes;
    for (const std::string_view pattern : kLeftovers) {
        for (std::string& path : root.match(state + std::string(pattern)))
            changes.push_back({Change::Kind::remove, std::move(path), {}});
    }
    return changes;
}

}  // namespace prebake::identity
