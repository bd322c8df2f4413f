#include "agent/identity/items/all.h"

namespace prebake::identity {

Item nvme_host_item() {
    return {
        .name = "nvme-host",
        .order = 310,
        .why =
            "Storage targets would take all clones for one host, and let them write to each "
            "other's volumes.",
        .back =
            "prebake's first boot makes them, because nvme-cli's packages do so only when "
            "they are installed.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/etc/nvme/hostnqn"},
                {Target::What::file, "/etc/nvme/hostid"},
            },
        .proofs = {"/etc/nvme/hostnqn", "/etc/nvme/hostid"},
    };
}

}  // namespace prebake::identity
