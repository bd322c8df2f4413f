#include "agent/identity/items/all.h"

namespace prebake::identity {

Item k3s_item() {
    return {
        .name = "k3s",
        .order = 520,
        .why =
            "Clones would join as the builder's node with its password and certificates, or "
            "run a copy of its cluster.",
        .back = "k3s and RKE2 make it anew when they next start, from the server's token.",
        .targets =
            {
                {Target::What::file, "/etc/rancher/node/password"},
                {Target::What::file, "/etc/rancher/k3s/k3s.yaml"},
                {Target::What::file, "/etc/rancher/rke2/rke2.yaml"},
                // Not agent/images and agent/containerd: images are baked there.
                {Target::What::file, "/var/lib/rancher/*/agent/*.crt"},
                {Target::What::file, "/var/lib/rancher/*/agent/*.key"},
                {Target::What::file, "/var/lib/rancher/*/agent/*.kubeconfig"},
                {Target::What::file, "/var/lib/rancher/*/server/cred"},
                {Target::What::file, "/var/lib/rancher/*/server/db"},
                {Target::What::file, "/var/lib/rancher/*/server/tls"},
                {Target::What::file, "/var/lib/rancher/*/server/token"},
                {Target::What::file, "/var/lib/rancher/*/server/node-token"},
                {Target::What::file, "/var/lib/rancher/*/server/agent-token"},
            },
    };
}

}  // namespace prebake::identity
