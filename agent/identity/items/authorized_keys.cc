#include "agent/identity/items/all.h"

namespace prebake::identity {

Item authorized_keys_item() {
    return {
        .name = "authorized-keys",
        .order = 640,
        .why = "Whoever could log in to the builder could log in to every clone.",
        .back =
            "cloud-init writes those of the instance's key pair; where keys are part of the "
            "image on purpose, skip this item.",
        .targets =
            {
                // Packer leaves a .bak beside it.
                {Target::What::file, "~/.ssh/authorized_keys*"},
            },
    };
}

}  // namespace prebake::identity
