#include "agent/identity/items/all.h"

namespace prebake::identity {

// A clone keeps it: it may be a server that was restored from a snapshot.
Item nomad_data_item() {
    return {
        .name = "nomad-data",
        .order = 845,
        .why =
            "Clones would hold what the builder's jobs left, and clones of a server a copy of "
            "the cluster's data.",
        .back =
            "Nomad gets it from the cluster that it joins; what was stored in the builder's "
            "own one does not come back.",
        .targets =
            {
                {Target::What::contents, "/opt/nomad/data/client"},
                {Target::What::contents, "/opt/nomad/data/server"},
                {Target::What::contents, "/opt/nomad/data/alloc"},
                {Target::What::contents, "/var/lib/nomad/client"},
                {Target::What::contents, "/var/lib/nomad/server"},
                {Target::What::contents, "/var/lib/nomad/alloc"},
            },
    };
}

}  // namespace prebake::identity
