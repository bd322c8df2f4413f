#include "agent/identity/items/all.h"

namespace prebake::identity {

Item ubuntu_pro_item() {
    return {
        .name = "ubuntu-pro",
        .order = 760,
        .why = "All clones would use the builder's contract under one machine token.",
        .back =
            "ubuntu-advantage.service attaches Pro instances of a cloud by itself, others are "
            "attached by pro(1).",
        .targets =
            {
                {Target::What::contents, "/var/lib/ubuntu-advantage/private"},
                {Target::What::file, "/var/lib/ubuntu-advantage/machine-token.json"},
                {Target::What::file, "/etc/apt/auth.conf.d/90ubuntu-advantage"},
            },
    };
}

}  // namespace prebake::identity
