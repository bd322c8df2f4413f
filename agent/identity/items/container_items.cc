#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// Container engines: their IDs, their containers and secrets. Never images and volumes.
// One line for each path.
// clang-format off
constexpr Item kContainerItems[] = {
    {
        .name = "docker",
        .why = "All clones would have the same engine ID.",
        .regeneration = "dockerd generates a new ID when it next starts.",
        .on_clone = OnClone::renew,
        .targets = {
            // Removed, never emptied: an empty file gives an empty ID (moby, daemon/id.go).
            remove("/var/lib/docker/engine-id"),
            // Without an engine-id Docker 23 derives the ID from it again (migrateTrustKeyID()).
            // Before 23 it was the ID.
            remove("/etc/docker/key.json"),
            remove("/var/lib/docker/trust/key.json"),
            // The same for the snap, which has one /etc/docker for each revision.
            remove("/var/snap/docker/common/var-lib-docker/engine-id"),
            remove("/var/snap/docker/common/var-lib-docker/trust/key.json"),
            remove("/var/snap/docker/*/etc/docker/key.json"),
        },
        .extra_changes = docker_changes,
        .extra_description =
            "the same below the data-root of /etc/docker/daemon.json; in an image also removes "
            "/run/docker.pid and the snap's",
        .proofs = {
            "/var/lib/docker/engine-id",
            "/etc/docker/key.json",
            "/var/snap/docker/common/var-lib-docker/engine-id",
        },
        .written_by = {
            {"cri-docker.socket", StopStage::docker},
            {"cri-docker.service", StopStage::docker},
            {"docker.socket", StopStage::docker},
            {"docker.service", StopStage::docker},
            {"snap.docker.*.service", StopStage::docker},
        },
    },
    // A clone keeps it: it may be a manager that was restored from a snapshot.
    {
        .name = "docker-swarm",
        .why =
            "Clones would be one node of a swarm, with one certificate. Clones of a manager would "
            "hold all secrets of the swarm.",
        .regeneration = "Not recreated. A clone has to join or create a swarm.",
        .targets = {
            remove("/var/lib/docker/swarm"),
            remove("/var/snap/docker/common/var-lib-docker/swarm"),
        },
        .extra_changes = docker_swarm_changes,
        .extra_description = "the same below the data-root of /etc/docker/daemon.json",
    },
    // Never image, overlay2 and the like: baked images are there. Volumes stay, also anonymous
    // ones: they are data. buildkit stays: overlay2 refers to it.
    {
        .name = "docker-containers",
        .why =
            "The builder's containers would be on every clone, with their names, environments and "
            "logs, and would start there.",
        .regeneration =
            "Not recreated, except the default networks when dockerd next starts. Volumes are "
            "never removed.",
        .targets = {
            remove_inside("/var/lib/docker/containers"),
            remove_inside("/var/lib/docker/tmp"),
            remove("/var/lib/docker/network/files/local-kv.db"),
            remove_inside("/var/snap/docker/common/var-lib-docker/containers"),
            remove_inside("/var/snap/docker/common/var-lib-docker/tmp"),
            remove("/var/snap/docker/common/var-lib-docker/network/files/local-kv.db"),
        },
        .extra_changes = docker_containers_changes,
        .extra_description = "the same below the data-root of /etc/docker/daemon.json",
    },
    {
        .name = "containerd",
        .why =
            "Monitoring would take all clones for one containerd, because they have the same ID.",
        .regeneration = "containerd generates a new ID when it is next asked for it.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/lib/containerd/io.containerd.grpc.v1.introspection/uuid"),
        },
        .extra_changes = containerd_changes,
        .extra_description = "the same below the root of /etc/containerd/config.toml",
        .proofs = {"/var/lib/containerd/io.containerd.grpc.v1.introspection/uuid"},
        .written_by = {{"containerd.service", StopStage::containerd}},
    },
    // Never content, metadata and snapshots: baked images are there. /run/containerd is in memory,
    // so it is not part of an image.
    {
        .name = "containerd-containers",
        .why =
            "Specifications, host names and logs of the builder's containers would be on every "
            "clone.",
        .regeneration = "containerd recreates it with the next container.",
        .extra_changes = containerd_containers_changes,
        .extra_description =
            "removes what ended containers left in containerd's root directory "
            "(/var/lib/containerd, or `root` of its config.toml): io.containerd.runtime.*, "
            "io.containerd.sandbox.controller.*, io.containerd.grpc.v1.cri",
    },
    // Only this part of the storage goes: the images beside it stay.
    {
        .name = "podman-secrets",
        .why =
            "Anyone with a clone could read the secrets that podman stored on the builder: they "
            "are not encrypted.",
        .regeneration = "Not recreated. podman creates the directory with the next secret.",
        .targets = {
            remove("/var/lib/containers/storage/secrets"),
            remove("~/.local/share/containers/storage/secrets"),
        },
    },
    // Volumes are data and stay.
    {
        .name = "nerdctl",
        .why =
            "Clones would list containers that they never ran, with the builder's names and "
            "addresses.",
        .regeneration = "nerdctl recreates it with the next container.",
        .targets = {
            remove_inside("/var/lib/nerdctl/*/containers"),
            remove_inside("/var/lib/nerdctl/*/names"),
            remove_inside("/var/lib/nerdctl/*/etchosts"),
            // The kubelet would use nerdctl's bridge as the network of the cluster.
            remove("/etc/cni/net.d/nerdctl-*.conflist"),
        },
    },
    {
        .name = "lxd",
        .why = "All clones would serve one certificate, with a private key known from the image.",
        .regeneration = "LXD and Incus generate a new one when they next start.",
        .targets = {
            remove("/var/lib/incus/server.crt"),
            remove("/var/lib/incus/server.key"),
            remove("/var/lib/lxd/server.crt"),
            remove("/var/lib/lxd/server.key"),
            remove("/var/snap/lxd/common/lxd/server.crt"),
            remove("/var/snap/lxd/common/lxd/server.key"),
        },
    },
    {
        .name = "cni",
        .why = "Addresses of the builder's pods would count as taken on every clone.",
        .regeneration = "The CNI plugins recreate it with the next pod.",
        .targets = {
            remove("/var/lib/cni/networks/*"),
            remove("/var/lib/cni/results/*"),
            remove("/var/lib/cni/cache/*"),
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> container_items() {
    return kContainerItems;
}

}  // namespace prebake::identity
