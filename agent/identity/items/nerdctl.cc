#include "agent/identity/items/all.h"

namespace prebake::identity {

// Volumes are data and stay.
Item nerdctl_item() {
    return {
        .name = "nerdctl",
        .order = 440,
        .why =
            "Clones would list containers that they never ran, with the builder's names and "
            "addresses.",
        .back = "nerdctl makes it anew with the next container.",
        .targets =
            {
                {Target::What::contents, "/var/lib/nerdctl/*/containers"},
                {Target::What::contents, "/var/lib/nerdctl/*/names"},
                {Target::What::contents, "/var/lib/nerdctl/*/etchosts"},
                // The kubelet would take nerdctl's bridge for the network of the cluster.
                {Target::What::file, "/etc/cni/net.d/nerdctl-*.conflist"},
            },
    };
}

}  // namespace prebake::identity
