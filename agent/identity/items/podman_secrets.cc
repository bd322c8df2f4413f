#include "agent/identity/items/all.h"

namespace prebake::identity {

// Beside the images, and no images: of the storage only this goes.
Item podman_secrets_item() {
    return {
        .name = "podman-secrets",
        .order = 435,
        .why =
            "Whoever has a clone could read the secrets that were given to podman on the "
            "builder, which stores them unencrypted.",
        .back = "Nobody; podman makes the directory when it is next given a secret.",
        .targets =
            {
                {Target::What::file, "/var/lib/containers/storage/secrets"},
                {Target::What::file, "~/.local/share/containers/storage/secrets"},
            },
    };
}

}  // namespace prebake::identity
