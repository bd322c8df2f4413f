#include "agent/identity/items/all.h"

namespace prebake::identity {

Item munge_key_item() {
    return {
        .name = "munge-key",
        .order = 910,
        .why =
            "Whoever has the image can forge the credentials of every machine that trusts the "
            "key.",
        .back =
            "Nobody: munged does not start without the key, and machines of one cluster must "
            "share it; bring it with user-data instead.",
        .by_default = Default::report,
        .targets =
            {
                {Target::What::file, "/etc/munge/munge.key"},
            },
    };
}

}  // namespace prebake::identity
