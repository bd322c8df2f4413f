#include "agent/identity/items/all.h"

namespace prebake::identity {

Item network_manager_item() {
    return {
        .name = "network-manager",
        .order = 210,
        .why =
            "Clones would derive the same DHCP client ids and stable-privacy addresses from "
            "one secret key.",
        .back = "NetworkManager makes a new key when it next starts (NetworkManager(8)).",
        .on_clone = OnClone::renew,
        .targets =
            {
                // Always: keys of the first format do not depend on the machine-id.
                {Target::What::file, "/var/lib/NetworkManager/secret_key"},
                {Target::What::file, "/var/lib/NetworkManager/seen-bssids"},
                {Target::What::file, "/var/lib/NetworkManager/timestamps"},
            },
    };
}

}  // namespace prebake::identity
