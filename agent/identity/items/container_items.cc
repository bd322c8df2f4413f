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
            // Up to 22 it was the ID. Docker 23 derives the ID from it again, if there is no
            // engine-id (migrateTrustKeyID()). From 24 on nothing reads it.
            remove("/etc/docker/key.json"),
            remove("/var/lib/docker/trust/key.json"),
            // The same for the snap, which has one /etc/docker for each revision.
            remove("/var/snap/docker/common/var-lib-docker/engine-id"),
            remove("/var/snap/docker/common/var-lib-docker/trust/key.json"),
            remove("/var/snap/docker/*/etc/docker/key.json"),
            // Rootless.
            remove("~/.local/share/docker/engine-id"),
            remove("~/.config/docker/key.json"),
        },
        .extra_changes = docker_changes,
        .extra_description =
            "the same below other data roots, which daemon.json, Docker's units or the files of "
            "their options name; a PID file that daemon.json puts on a disk; BuildKit's cache.db "
            "if it is bound to the old ID; in an image also /run/docker.pid and the snap's",
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
    {
        .name = "docker-client",
        .why =
            "Builders that people of all clones use would take their docker and buildx for one "
            "client.",
        .regeneration = "docker and buildx generate new ones with the next build.",
        .targets = {
            remove("~/.docker/.buildNodeID"),
            remove("~/.docker/buildx/.buildNodeID"),
            // From it the keys are made with which a client proves to be the same.
            remove("~/.docker/.token_seed"),
            remove("~/.docker/.token_seed.lock"),
            remove("~/.docker/buildx/.token_seed"),
            remove("~/.docker/buildx/.token_seed.lock"),
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
        .extra_description =
            "the same below other data roots; while Docker runs, docker swarm leave comes first",
    },
    // Never the images' layers, and never volumes: also anonymous ones are data.
    {
        .name = "docker-containers",
        .why =
            "The builder's containers would be on every clone, with their files, environments and "
            "logs, and would start there.",
        .regeneration = "Not recreated. Volumes are never removed.",
        .targets = {
            remove_inside("/var/lib/docker/tmp"),
            remove_inside("/var/lib/docker/buildkit/executor"),
            remove_inside("/var/snap/docker/common/var-lib-docker/tmp"),
        },
        .extra_changes = docker_containers_changes,
        .extra_description =
            "removes everything in /var/lib/docker/containers, what the containers wrote "
            "(directories of overlay2, fuse-overlayfs or vfs that belong to no image) and "
            "Docker's records of it, also below other data roots; with the containerd store only "
            "Docker can do that, so it has to run",
    },
    // Of its own, because a build may create networks on purpose.
    {
        .name = "docker-networks",
        .why =
            "Clones would have the builder's networks, with the address ranges that were free "
            "there.",
        .regeneration =
            "dockerd creates the default networks when it next starts. Create others at first "
            "boot, or skip this item.",
        .targets = {
            remove_inside("/var/lib/docker/network/files"),
            remove_inside("/var/snap/docker/common/var-lib-docker/network/files"),
        },
        .extra_changes = docker_networks_changes,
        .extra_description = "the same below other data roots",
    },
    // Off: a builder may warm the cache for its clones.
    {
        .name = "docker-build-cache",
        .why =
            "Files and logs of builds would be on every clone. From Docker 25 on, clones with "
            "overlay2 cannot use them: they belong to the engine's ID.",
        .regeneration = "Not recreated. BuildKit fills its cache with the next build.",
        .by_default = Default::off,
        .extra_changes = docker_build_cache_changes,
        .extra_description =
            "removes /var/lib/docker/buildkit and the directories of overlay2 that belong to "
            "neither an image nor a container, also below other data roots; while Docker runs, "
            "docker builder prune --all comes first, and with the containerd store only that "
            "removes the cache",
    },
    // Reported: people write these, and dockerd may need them.
    {
        .name = "docker-host-settings",
        .why = "dockerd would not start on clones, or would advertise the builder's address.",
        .regeneration = "Not recreated. Write these settings at first boot.",
        .by_default = Default::report,
        .extra_changes = docker_host_settings_changes,
        .extra_description =
            "addresses of one machine and UUIDs of its GPUs in daemon.json: hosts, ip, "
            "metrics-addr, swarm-default-advertise-addr, host-gateway-ip, cluster-advertise, "
            "node-generic-resources",
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
        .extra_description =
            "the same below the root of /etc/containerd/config.toml, and in containerd/daemon of "
            "Docker's data roots, where Docker starts one itself",
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
