#include "agent/identity/items/all.h"

namespace prebake::identity {

Item pod_network_item() {
    return {
        .name = "pod-network",
        .order = 530,
        .why = "The pod network would take every clone for the builder's node.",
        .back = "The network's own pod writes it when it next starts on the node.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/var/lib/calico/nodename"},
                {Target::What::file, "/var/lib/weave/weave-netdata.db"},
            },
    };
}

}  // namespace prebake::identity
