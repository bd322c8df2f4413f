#include "agent/identity/items/all.h"

namespace prebake::identity {

Item cloud_init_scripts_item() {
    return {
        .name = "cloud-init-scripts",
        .order = 120,
        .why = "Scripts that came with the builder's user-data would run on every clone.",
        .back =
            "cloud-init writes those of the instance's own user-data; those that belong to "
            "the image need `[seal] keep`.",
        .targets =
            {
                // Part handlers put scripts of user-data here (x-shellscript-per-boot), beside the
                // administrator's.
                {Target::What::file, "/var/lib/cloud/scripts"},
            },
    };
}

}  // namespace prebake::identity
