#include "agent/identity/items/all.h"

namespace prebake::identity {

Item insights_item() {
    return {
        .name = "insights",
        .order = 750,
        .why = "All clones would report as one machine.",
        .back = "insights-client(8) makes a new id when the clone is registered.",
        .targets =
            {
                {Target::What::file, "/etc/insights-client/machine-id"},
                {Target::What::file, "/etc/insights-client/.registered"},
                {Target::What::file, "/etc/insights-client/.unregistered"},
                {Target::What::file, "/etc/insights-client/.last-upload.results"},
                {Target::What::file, "/etc/rhsm/facts/insights-client.facts"},
            },
        .proofs = {"/etc/insights-client/machine-id"},
    };
}

}  // namespace prebake::identity
