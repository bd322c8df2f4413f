#include "agent/identity/items/all.h"

namespace prebake::identity {

Item hostname_item() {
    return {
        .name = "hostname",
        .order = 30,
        .why =
            "Every clone would call itself by the builder's name, in its logs, its metrics "
            "and its requests to DHCP and DNS.",
        .back =
            "cloud-init, the DHCP client or prebake's first boot sets the name of the "
            "instance; until then it is the transient name of hostname(5).",
        .on_clone = OnClone::renew,
        .targets =
            {
                // Emptied, not removed: systemd takes an empty file for none (hostname(5)), and
                // owner, mode and SELinux label stay.
                {Target::What::bytes, "/etc/hostname"},
                {Target::What::file, "/etc/machine-info"},
            },
    };
}

}  // namespace prebake::identity
