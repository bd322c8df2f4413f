#include "agent/identity/items/all.h"

namespace prebake::identity {

// A clone keeps its secret: services that load encrypted credentials would fail without it.
Item credential_secret_item() {
    return {
        .name = "credential-secret",
        .order = 60,
        .why =
            "Whoever has a clone could decrypt the credentials that any other one encrypted "
            "for itself.",
        .back =
            "systemd-creds(1) makes a new one when it next encrypts; what was encrypted with "
            "the old one becomes unreadable.",
        .targets =
            {
                {Target::What::file, "/var/lib/systemd/credential.secret"},
            },
    };
}

}  // namespace prebake::identity
