#include "agent/identity/items/all.h"

namespace prebake::identity {

Item crowdstrike_item() {
    return {
        .name = "crowdstrike",
        .order = 900,
        .why = "All clones share the sensor's agent id.",
        .back =
            "Run `falconctl -d -f --aid` while the image is built: the file holds the "
            "customer id, too, without which the sensor does not work.",
        .by_default = Default::report,
        .targets =
            {
                {Target::What::file, "/opt/CrowdStrike/falconstore"},
            },
    };
}

}  // namespace prebake::identity
