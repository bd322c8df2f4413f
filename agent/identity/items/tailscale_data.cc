#include "agent/identity/items/all.h"

namespace prebake::identity {

// A clone keeps it: files that were sent to its users wait there.
Item tailscale_data_item() {
    return {
        .name = "tailscale-data",
        .order = 865,
        .why =
            "Clones would hold what the builder knew of its tailnet, and files that were sent "
            "to it.",
        .back = "tailscaled gets what it caches when it next joins; the files do not come back.",
        .targets =
            {
                {Target::What::contents, "/var/lib/tailscale"},
            },
    };
}

}  // namespace prebake::identity
