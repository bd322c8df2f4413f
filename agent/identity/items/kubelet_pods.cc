#include "agent/identity/items/all.h"

namespace prebake::identity {

Item kubelet_pods_item() {
    return {
        .name = "kubelet-pods",
        .order = 480,
        .why = "Volumes, secrets and tokens of the builder's pods would be on every clone.",
        .back = "The kubelet makes it anew with the next pod.",
        .targets =
            {
                {Target::What::contents, "/var/lib/kubelet/pods"},
                {Target::What::contents, "/var/lib/kubelet/plugins_registry"},
                {Target::What::contents, "/var/lib/kubelet/pod-resources"},
                {Target::What::contents, "/var/lib/kubelet/checkpoints"},
            },
    };
}

}  // namespace prebake::identity
