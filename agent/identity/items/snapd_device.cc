#include "agent/identity/items/all.h"

namespace prebake::identity {

Item snapd_device_item() {
    return {
        .name = "snapd-device",
        .order = 780,
        .why = "All clones share the device key and the serial that snapd got for the builder.",
        .back =
            "Nobody: snapd makes them only on a machine that has no state, and without its "
            "state it forgets the snaps that are installed.",
        .by_default = Default::report,
        .targets =
            {
                {Target::What::file, "/var/lib/snapd/device/private-keys-v1/*"},
            },
    };
}

}  // namespace prebake::identity
