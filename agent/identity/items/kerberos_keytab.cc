#include "agent/identity/items/all.h"

namespace prebake::identity {

Item kerberos_keytab_item() {
    return {
        .name = "kerberos-keytab",
        .order = 700,
        .why = "Whoever has a clone could pose as the builder in its realm.",
        .back = "Nobody; the clone gets one when it joins the realm.",
        .targets =
            {
                {Target::What::file, "/etc/krb5.keytab"},
            },
    };
}

}  // namespace prebake::identity
