#include "agent/identity/items/all.h"

namespace prebake::identity {

Item cni_item() {
    return {
        .name = "cni",
        .order = 450,
        .why = "Addresses that the builder's pods had would count as taken on every clone.",
        .back = "The CNI plugins make it anew with the next pod.",
        .targets =
            {
                {Target::What::file, "/var/lib/cni/networks/*"},
                {Target::What::file, "/var/lib/cni/results/*"},
                {Target::What::file, "/var/lib/cni/cache/*"},
            },
    };
}

}  // namespace prebake::identity
