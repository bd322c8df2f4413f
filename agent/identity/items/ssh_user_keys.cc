#include "agent/identity/items/all.h"

namespace prebake::identity {

// ~/.ssh/config stays: it is configuration and holds no key.
Item ssh_user_keys_item() {
    return {
        .name = "ssh-user-keys",
        .order = 650,
        .why =
            "Whoever has the image could log in wherever the one who built it can, and knows "
            "where that is.",
        .back = "Nobody; a person makes or brings keys of their own.",
        .targets =
            {
                {Target::What::file, "~/.ssh/id_*"},
                {Target::What::file, "~/.ssh/identity*"},
                {Target::What::file, "~/.ssh/*.pem"},
                {Target::What::file, "~/.ssh/*.key"},
                {Target::What::file, "~/.ssh/*.ppk"},
                {Target::What::file, "~/.ssh/environment"},
                {Target::What::file, "~/.ssh/known_hosts*"},
            },
    };
}

}  // namespace prebake::identity
