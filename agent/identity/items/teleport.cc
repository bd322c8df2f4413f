#include "agent/identity/items/all.h"

namespace prebake::identity {

Item teleport_item() {
    return {
        .name = "teleport",
        .order = 850,
        .why = "Clones would be one node to Teleport, with one certificate.",
        .back =
            "Teleport makes a new id when it next starts, and joins if it is given a token or "
            "a method to join.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/var/lib/teleport/host_uuid"},
                {Target::What::contents, "/var/lib/teleport/proc"},
            },
        .proofs = {"/var/lib/teleport/host_uuid"},
    };
}

}  // namespace prebake::identity
