#include "agent/identity/items/all.h"

namespace prebake::identity {

Item udev_persistent_net_item() {
    return {
        .name = "udev-persistent-net",
        .order = 230,
        .why =
            "A clone's network interface has another MAC address, would get another name than "
            "the configured one, and stay down.",
        .back =
            "Nobody needs it: udev names interfaces by their place, and old releases write it "
            "again.",
        .targets =
            {
                {Target::What::file, "/etc/udev/rules.d/70-persistent-net.rules"},
                {Target::What::file, "/etc/udev/rules.d/75-persistent-net.rules"},
            },
    };
}

}  // namespace prebake::identity
