#include "agent/identity/items/all.h"

namespace prebake::identity {

Item cloud_init_item() {
    return {
        .name = "cloud-init",
        .order = 110,
        .why =
            "A clone could take itself for the builder, skip its own set-up, and hold the "
            "builder's user-data with all secrets in it.",
        .back = "cloud-init makes it anew at the next boot.",
        .on_clone = OnClone::renew,
        .targets =
            {
                // What `cloud-init clean` removes, less the scripts, which are an item of their
                // own. As there, the seed stays: it is the data source of images that bring their
                // own.
                {Target::What::file, "/var/lib/cloud/data"},
                {Target::What::file, "/var/lib/cloud/handlers"},
                {Target::What::file, "/var/lib/cloud/instance"},
                {Target::What::file, "/var/lib/cloud/instances"},
                {Target::What::file, "/var/lib/cloud/sem"},
            },
    };
}

}  // namespace prebake::identity
