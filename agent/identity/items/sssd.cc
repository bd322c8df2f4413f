#include "agent/identity/items/all.h"

namespace prebake::identity {

Item sssd_item() {
    return {
        .name = "sssd",
        .order = 710,
        .why =
            "Names, password hashes and tickets of those who logged in to the builder would "
            "be on every clone.",
        .back = "sssd fills its caches again.",
        .targets =
            {
                {Target::What::contents, "/var/lib/sss/db"},
                {Target::What::contents, "/var/lib/sss/mc"},
                {Target::What::contents, "/var/lib/sss/secrets"},
            },
    };
}

}  // namespace prebake::identity
