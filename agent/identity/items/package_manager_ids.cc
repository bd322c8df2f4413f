#include "agent/identity/items/all.h"

namespace prebake::identity {

Item package_manager_ids_item() {
    return {
        .name = "package-manager-ids",
        .order = 1000,
        .why = "Mirrors would count all clones as one machine.",
        .back = "The package manager makes it anew.",
        .targets =
            {
                {Target::What::file, "/var/lib/yum/uuid"},
                {Target::What::file, "/var/lib/dnf/repos/*/countme"},
                {Target::What::file, "/var/lib/zypp/AnonymousUniqueId"},
            },
    };
}

}  // namespace prebake::identity
