#include "agent/identity/items/all.h"

namespace prebake::identity {

// What its jobs and a server's raft hold is nomad-data's; so is a server's node-id, by which raft
// knows its voters.
Item nomad_item() {
    return {
        .name = "nomad",
        .order = 840,
        .why = "Clones would be one client to Nomad.",
        .back = "Nomad makes a new id when it next starts, and joins by its configuration.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/opt/nomad/data/client/client-id"},
                {Target::What::file, "/opt/nomad/data/client/secret-id"},
                {Target::What::file, "/var/lib/nomad/client/client-id"},
                {Target::What::file, "/var/lib/nomad/client/secret-id"},
            },
        .proofs = {"/opt/nomad/data/client/client-id", "/var/lib/nomad/client/client-id"},
    };
}

}  // namespace prebake::identity
