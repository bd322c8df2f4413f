#include "agent/identity/items/all.h"

namespace prebake::identity {

Item gnupg_keys_item() {
    return {
        .name = "gnupg-keys",
        .order = 660,
        .why = "Whoever has the image could sign and decrypt as the one who built it.",
        .back = "Nobody; a person brings keys of their own.",
        .targets =
            {
                // Public keys stay: packages are verified with them.
                {Target::What::file, "~/.gnupg/private-keys-v1.d"},
                {Target::What::file, "~/.gnupg/openpgp-revocs.d"},
                {Target::What::file, "~/.gnupg/secring.gpg"},
                {Target::What::file, "~/.gnupg/random_seed"},
            },
    };
}

}  // namespace prebake::identity
