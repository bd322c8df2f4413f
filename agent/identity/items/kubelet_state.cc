#include "agent/identity/items/all.h"

namespace prebake::identity {

Item kubelet_state_item() {
    return {
        .name = "kubelet-state",
        .order = 470,
        .why =
            "The kubelet refuses to start with the CPU and memory assignments of another "
            "machine, and would believe what the builder pulled and ran.",
        .back = "The kubelet makes it anew when it next starts.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/var/lib/kubelet/cpu_manager_state"},
                {Target::What::file, "/var/lib/kubelet/memory_manager_state"},
                {Target::What::file, "/var/lib/kubelet/dra_manager_state"},
                {Target::What::file, "/var/lib/kubelet/pod_status_manager_state"},
                {Target::What::file, "/var/lib/kubelet/allocated_pods_state"},
                {Target::What::file, "/var/lib/kubelet/actuated_pods_state"},
                {Target::What::file, "/var/lib/kubelet/graceful_node_shutdown_state"},
                {Target::What::file, "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"},
                // Which credentials pulled which image: without a record an image counts as
                // preloaded (KEP-2535).
                {Target::What::file, "/var/lib/kubelet/image_manager"},
            },
    };
}

}  // namespace prebake::identity
