#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// The kubelet, what starts it, and ECS.
// One line for each path.
// clang-format off
constexpr Item kKubernetesItems[] = {
    {
        .name = "kubelet",
        .why =
            "Clones would join the cluster as the builder's node, with its certificates, and "
            "compete for it.",
        .regeneration =
            "The kubelet requests certificates of its own when it has a bootstrap kubeconfig or "
            "an instance's identity.",
        .on_clone = OnClone::renew,
        .targets = {
            remove_inside("/var/lib/kubelet/pki"),
            remove("/var/lib/kubelet/kubeconfig"),
            remove("/etc/kubernetes/kubelet.conf"),
        },
        .proofs = {"/var/lib/kubelet/pki/kubelet.crt"},
        .written_by = {
            // It starts the kubelet.
            {"nodeadm-*.service", StopStage::orchestrators},
            {"kubelet.service", StopStage::orchestrators},
            {"snap.kubelet*.service", StopStage::orchestrators},
            {"snap.k8s.*.service", StopStage::orchestrators},
        },
    },
    {
        .name = "kubelet-state",
        .why =
            "The kubelet refuses to start with the CPU and memory assignments of another machine. "
            "It would also trust the builder's records of pods and pulled images.",
        .regeneration = "The kubelet recreates it when it next starts.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/lib/kubelet/cpu_manager_state"),
            remove("/var/lib/kubelet/memory_manager_state"),
            remove("/var/lib/kubelet/dra_manager_state"),
            remove("/var/lib/kubelet/pod_status_manager_state"),
            remove("/var/lib/kubelet/allocated_pods_state"),
            remove("/var/lib/kubelet/actuated_pods_state"),
            remove("/var/lib/kubelet/graceful_node_shutdown_state"),
            remove("/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"),
            // Records which credentials pulled which image. An image without a record counts as
            // preloaded (KEP-2535).
            remove("/var/lib/kubelet/image_manager"),
        },
    },
    {
        .name = "kubelet-pods",
        .why = "Volumes, secrets and tokens of the builder's pods would be on every clone.",
        .regeneration = "The kubelet recreates it with the next pod.",
        .targets = {
            remove_inside("/var/lib/kubelet/pods"),
            remove_inside("/var/lib/kubelet/plugins_registry"),
            remove_inside("/var/lib/kubelet/pod-resources"),
            remove_inside("/var/lib/kubelet/checkpoints"),
        },
    },
    {
        .name = "nodeadm",
        .why =
            "A clone would start its kubelet with the builder's cluster, labels and address "
            "before nodeadm configures it.",
        .regeneration =
            "nodeadm writes it at every boot. On older EKS images the bootstrap script does, when "
            "user data runs it.",
        .targets = {
            remove("/etc/eks/kubelet/environment"),
            remove("/etc/kubernetes/kubelet/config.json"),
            remove("/etc/kubernetes/kubelet/config.json.d/*-nodeadm.conf"),
            remove("/etc/kubernetes/pki/ca.crt"),
            // Not the directory: the credential provider is installed there.
            remove("/etc/eks/image-credential-provider/config.json"),
            // Kept for each instance ID.
            remove("/etc/eks/nodeadm/udev-net-manager/*"),
            remove("/etc/systemd/system/kubelet.service.d/10-kubelet-args.conf"),
            remove("/etc/systemd/system/kubelet.service.d/30-kubelet-extra-args.conf"),
        },
    },
    {
        .name = "kubeadm",
        .why = "Keys and admin configurations of the builder's cluster would be on every clone.",
        .regeneration =
            "kubeadm writes it when the clone joins or creates a cluster. A bootstrap kubeconfig "
            "comes with user data.",
        .targets = {
            remove("/etc/kubernetes/admin.conf"),
            remove("/etc/kubernetes/super-admin.conf"),
            remove("/etc/kubernetes/controller-manager.conf"),
            remove("/etc/kubernetes/scheduler.conf"),
            remove("/etc/kubernetes/bootstrap-kubelet.conf"),
            remove("/var/lib/kubelet/bootstrap-kubeconfig"),
            remove("/var/lib/kubelet/kubeadm-flags.env"),
            remove("/var/lib/kubelet/instance-config.yaml"),
            remove_inside("/etc/kubernetes/pki"),
            remove_inside("/etc/kubernetes/tmp"),
            // Only kubeadm's own four: other static pods belong to the image.
            remove("/etc/kubernetes/manifests/etcd.yaml"),
            remove("/etc/kubernetes/manifests/kube-apiserver.yaml"),
            remove("/etc/kubernetes/manifests/kube-controller-manager.yaml"),
            remove("/etc/kubernetes/manifests/kube-scheduler.yaml"),
        },
    },
    {
        .name = "etcd",
        .why =
            "Every clone would hold a copy of the cluster's data, including all secrets, and a "
            "member's identity.",
        .regeneration = "etcd recreates it when the clone joins or creates a cluster.",
        .targets = {
            remove_inside("/var/lib/etcd"),
        },
        .written_by = {{"etcd.service", StopStage::managers}},
    },
    {
        .name = "k3s",
        .why =
            "Clones would join as the builder's node, with its password and certificates, or run "
            "a copy of its cluster.",
        .regeneration = "k3s and RKE2 recreate it from the server's token when they next start.",
        .targets = {
            remove("/etc/rancher/node/password"),
            remove("/etc/rancher/k3s/k3s.yaml"),
            remove("/etc/rancher/rke2/rke2.yaml"),
            // Not agent/images and agent/containerd: baked images are there.
            remove("/var/lib/rancher/*/agent/*.crt"),
            remove("/var/lib/rancher/*/agent/*.key"),
            remove("/var/lib/rancher/*/agent/*.kubeconfig"),
            remove("/var/lib/rancher/*/server/cred"),
            remove("/var/lib/rancher/*/server/db"),
            remove("/var/lib/rancher/*/server/tls"),
            remove("/var/lib/rancher/*/server/token"),
            remove("/var/lib/rancher/*/server/node-token"),
            remove("/var/lib/rancher/*/server/agent-token"),
        },
        .written_by = {
            {"rancher-system-agent.service", StopStage::orchestrators},
            {"k3s.service", StopStage::orchestrators},
            {"k3s-agent.service", StopStage::orchestrators},
            {"rke2-*.service", StopStage::orchestrators},
        },
    },
    {
        .name = "k0s",
        .why =
            "Clones would join as the builder's node, with its certificates, or run a copy of its "
            "cluster.",
        .regeneration =
            "A controller creates a cluster of its own when it next starts. A worker joins with a "
            "token.",
        .targets = {
            // Not containerd: baked images are there.
            remove_inside("/var/lib/k0s/pki"),
            remove_inside("/var/lib/k0s/etcd"),
            remove_inside("/var/lib/k0s/db"),
            remove_inside("/var/lib/k0s/kubelet/pki"),
            remove("/var/lib/k0s/kubelet.conf"),
            remove("/var/lib/k0s/kubelet-bootstrap.conf"),
        },
        .written_by = {
            {"k0scontroller.service", StopStage::orchestrators},
            {"k0sworker.service", StopStage::orchestrators},
        },
    },
    // Reported: only the snap's install hook creates these files.
    {
        .name = "microk8s",
        .why =
            "Clones would run a copy of the builder's cluster, with its keys and tokens, and show "
            "the builder as a node.",
        .regeneration =
            "Not recreated: without them MicroK8s does not start. Install the snap at first boot "
            "instead, with a launch configuration.",
        .by_default = Default::report,
        .targets = {
            remove("/var/snap/microk8s/*/certs/*.key"),
            remove("/var/snap/microk8s/*/credentials/*.config"),
            remove("/var/snap/microk8s/*/credentials/*tokens*"),
            // dqlite: all objects of the cluster, its keys, and the node's ID and address.
            remove("/var/snap/microk8s/*/var/kubernetes/backend/*"),
        },
    },
    // Reported, as microk8s.
    {
        .name = "canonical-kubernetes",
        .why =
            "Clones would run a copy of the builder's cluster, with its keys, and show the builder "
            "as a node.",
        .regeneration =
            "Not recreated: `k8s bootstrap` or `k8s join-cluster` creates it. Install the snap in "
            "the image, and run these at first boot.",
        .by_default = Default::report,
        .targets = {
            remove("/var/snap/k8s/common/var/lib/k8s-dqlite/*"),
            remove("/var/snap/k8s/common/var/lib/k8sd/state/*"),
        },
    },
    {
        .name = "microcluster",
        .why = "Clones would run as the builder's member of its MicroCeph, MicroOVN or MicroCloud.",
        .regeneration =
            "Not recreated: the members bootstrap or join the cluster. Install the snaps in the "
            "image, and do so at first boot.",
        .by_default = Default::report,
        .targets = {
            remove("/var/snap/microceph/common/state"),
            remove("/var/snap/microcloud/common/state"),
            remove("/var/snap/microovn/common/state"),
        },
    },
    {
        .name = "pod-network",
        .why = "The pod network would take every clone for the builder's node.",
        .regeneration = "The network's own pod writes it when it next starts on the node.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/lib/calico/nodename"),
            remove("/var/lib/weave/weave-netdata.db"),
        },
    },
    {
        .name = "ecs-agent",
        .why =
            "Clones would register as the builder's container instance, and the agent would fail.",
        .regeneration = "The ECS agent registers the instance when it next starts.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/lib/ecs/data/agent.db"),
            remove("/var/lib/ecs/data/ecs_agent_data.json"),
            // Of the builder's tasks: their volumes, metadata, and FireLens configurations, which
            // may have credentials for a log service.
            remove("/var/lib/ecs/data/ecs_volume_plugin.json"),
            remove("/var/lib/ecs/data/metadata"),
            remove("/var/lib/ecs/data/firelens"),
        },
        .written_by = {
            {"ecs.service", StopStage::orchestrators},
            {"amazon-ecs-*.socket", StopStage::orchestrators},
            {"amazon-ecs-*.service", StopStage::orchestrators},
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> kubernetes_items() {
    return kKubernetesItems;
}

}  // namespace prebake::identity
