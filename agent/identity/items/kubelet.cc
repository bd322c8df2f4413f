#include "agent/identity/items/all.h"

namespace prebake::identity {

Item kubelet_item() {
    return {
        .name = "kubelet",
        .order = 460,
        .why =
            "Clones would join the cluster as the builder's node, with its certificates, and "
            "fight over it.",
        .back =
            "The kubelet asks for certificates of its own when it is given a bootstrap "
            "kubeconfig or an instance's identity.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::contents, "/var/lib/kubelet/pki"},
                {Target::What::file, "/var/lib/kubelet/kubeconfig"},
                {Target::What::file, "/etc/kubernetes/kubelet.conf"},
            },
        .proofs = {"/var/lib/kubelet/pki/kubelet.crt"},
    };
}

}  // namespace prebake::identity
