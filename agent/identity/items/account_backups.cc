#include "agent/identity/items/all.h"

namespace prebake::identity {

Item account_backups_item() {
    return {
        .name = "account-backups",
        .order = 980,
        .why =
            "Password hashes and members that were changed on purpose would still be there in "
            "copies.",
        .back = "The tools that change accounts write new copies.",
        .targets =
            {
                {Target::What::file, "/etc/passwd-"},
                {Target::What::file, "/etc/shadow-"},
                {Target::What::file, "/etc/group-"},
                {Target::What::file, "/etc/gshadow-"},
                {Target::What::file, "/etc/subuid-"},
                {Target::What::file, "/etc/subgid-"},
                {Target::What::file, "/var/backups/passwd.bak*"},
                {Target::What::file, "/var/backups/shadow.bak*"},
                {Target::What::file, "/var/backups/group.bak*"},
                {Target::What::file, "/var/backups/gshadow.bak*"},
            },
    };
}

}  // namespace prebake::identity
