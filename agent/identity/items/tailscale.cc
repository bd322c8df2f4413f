#include "agent/identity/items/all.h"

namespace prebake::identity {

Item tailscale_item() {
    return {
        .name = "tailscale",
        .order = 860,
        .why = "Clones would be one node of the tailnet, with one private key.",
        .back =
            "tailscaled makes a new key when it next starts, and joins when it is given an "
            "auth key.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/var/lib/tailscale/tailscaled.state"},
                // By the id in it the logs of clones would be one machine's.
                {Target::What::file, "/var/lib/tailscale/tailscaled.log*"},
                // Keys: of the name in the tailnet, and of the SSH server.
                {Target::What::file, "/var/lib/tailscale/certs"},
                {Target::What::file, "/var/lib/tailscale/ssh"},
            },
    };
}

}  // namespace prebake::identity
