#include "agent/identity/items/all.h"

namespace prebake::identity {

Item etcd_item() {
    return {
        .name = "etcd",
        .order = 510,
        .why =
            "Every clone would hold a copy of the cluster's data, all its secrets included, "
            "and a member's identity.",
        .back = "etcd makes it anew when the clone joins or creates a cluster.",
        .targets =
            {
                {Target::What::contents, "/var/lib/etcd"},
            },
    };
}

}  // namespace prebake::identity
