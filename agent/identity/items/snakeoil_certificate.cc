#include "agent/identity/items/all.h"

namespace prebake::identity {

Item snakeoil_certificate_item() {
    return {
        .name = "snakeoil-certificate",
        .order = 90,
        .why =
            "All clones would serve TLS with one private key, which whoever has the image "
            "knows.",
        .back =
            "prebake's first boot runs make-ssl-cert(8), because Debian's ssl-cert does so "
            "only when it is installed.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/etc/ssl/private/ssl-cert-snakeoil.key"},
                {Target::What::file, "/etc/ssl/certs/ssl-cert-snakeoil.pem"},
            },
        .proofs = {"/etc/ssl/certs/ssl-cert-snakeoil.pem"},
    };
}

}  // namespace prebake::identity
