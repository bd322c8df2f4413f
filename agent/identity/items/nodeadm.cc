#include "agent/identity/items/all.h"

namespace prebake::identity {

Item nodeadm_item() {
    return {
        .name = "nodeadm",
        .order = 490,
        .why =
            "A clone would start its kubelet with the builder's cluster, labels and address "
            "before nodeadm has configured it.",
        .back =
            "nodeadm writes it at every boot, the bootstrap script of older EKS images when "
            "user-data runs it.",
        .targets =
            {
                {Target::What::file, "/etc/eks/kubelet/environment"},
                {Target::What::file, "/etc/kubernetes/kubelet/config.json"},
                {Target::What::file, "/etc/kubernetes/kubelet/config.json.d/*-nodeadm.conf"},
                {Target::What::file, "/etc/kubernetes/pki/ca.crt"},
                // Not the directory: the credential provider itself is installed there.
                {Target::What::file, "/etc/eks/image-credential-provider/config.json"},
                // Kept per instance id, in /etc.
                {Target::What::file, "/etc/eks/nodeadm/udev-net-manager/*"},
                {Target::What::file, "/etc/systemd/system/kubelet.service.d/10-kubelet-args.conf"},
                {Target::What::file,
                 "/etc/systemd/system/kubelet.service.d/30-kubelet-extra-args.conf"},
            },
    };
}

}  // namespace prebake::identity
