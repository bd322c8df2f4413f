#include "agent/identity/items/all.h"

namespace prebake::identity {

Item kubeadm_item() {
    return {
        .name = "kubeadm",
        .order = 500,
        .why =
            "Keys and administrators' configurations of the builder's cluster would be on "
            "every clone.",
        .back =
            "kubeadm writes it when the clone joins or creates a cluster; a bootstrap "
            "kubeconfig comes with user-data.",
        .targets =
            {
                {Target::What::file, "/etc/kubernetes/admin.conf"},
                {Target::What::file, "/etc/kubernetes/super-admin.conf"},
                {Target::What::file, "/etc/kubernetes/controller-manager.conf"},
                {Target::What::file, "/etc/kubernetes/scheduler.conf"},
                {Target::What::file, "/etc/kubernetes/bootstrap-kubelet.conf"},
                {Target::What::file, "/var/lib/kubelet/bootstrap-kubeconfig"},
                {Target::What::file, "/var/lib/kubelet/kubeadm-flags.env"},
                {Target::What::file, "/var/lib/kubelet/instance-config.yaml"},
                {Target::What::contents, "/etc/kubernetes/pki"},
                {Target::What::contents, "/etc/kubernetes/tmp"},
                // kubeadm's own four only: other static pods belong to the image.
                {Target::What::file, "/etc/kubernetes/manifests/etcd.yaml"},
                {Target::What::file, "/etc/kubernetes/manifests/kube-apiserver.yaml"},
                {Target::What::file, "/etc/kubernetes/manifests/kube-controller-manager.yaml"},
                {Target::What::file, "/etc/kubernetes/manifests/kube-scheduler.yaml"},
            },
    };
}

}  // namespace prebake::identity
