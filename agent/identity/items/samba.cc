#include "agent/identity/items/all.h"

namespace prebake::identity {

Item samba_item() {
    return {
        .name = "samba",
        .order = 720,
        .why = "Clones would share the password of the builder's machine account and its SID.",
        .back = "The clone gets them when it joins the domain (net ads join).",
        .targets =
            {
                {Target::What::file, "/var/lib/samba/private/secrets.tdb"},
                {Target::What::file, "/var/lib/samba/private/secrets.ldb"},
                {Target::What::file, "/var/lib/samba/private/netlogon_creds_cli.tdb"},
                {Target::What::file, "/var/lib/samba/secrets.tdb"},
            },
    };
}

}  // namespace prebake::identity
