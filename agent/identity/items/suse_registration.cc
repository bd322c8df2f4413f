#include "agent/identity/items/all.h"

namespace prebake::identity {

Item suse_registration_item() {
    return {
        .name = "suse-registration",
        .order = 770,
        .why = "All clones would be registered as one system.",
        .back = "SUSEConnect(8) or the cloud's registration client registers the clone.",
        .targets =
            {
                {Target::What::file, "/etc/zypp/credentials.d/SCCcredentials"},
                {Target::What::file, "/etc/zypp/credentials.d/NCCcredentials"},
                {Target::What::file, "/etc/SUSEConnect"},
                {Target::What::contents, "/var/cache/cloudregister"},
            },
    };
}

}  // namespace prebake::identity
