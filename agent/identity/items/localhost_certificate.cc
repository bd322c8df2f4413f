#include "agent/identity/items/all.h"

namespace prebake::identity {

Item localhost_certificate_item() {
    return {
        .name = "localhost-certificate",
        .order = 100,
        .why =
            "All clones would serve TLS with one private key, which whoever has the image "
            "knows.",
        .back =
            "httpd-init.service makes Apache's before httpd starts, cockpit makes its own "
            "when it is next used.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/etc/pki/tls/private/localhost.key"},
                {Target::What::file, "/etc/pki/tls/certs/localhost.crt"},
                // The self-signed ones only: what an administrator put there has another name.
                {Target::What::file, "/etc/cockpit/ws-certs.d/0-self-signed*"},
            },
        .proofs = {"/etc/pki/tls/certs/localhost.crt",
                   "/etc/cockpit/ws-certs.d/0-self-signed.cert"},
    };
}

}  // namespace prebake::identity
