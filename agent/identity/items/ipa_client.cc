#include "agent/identity/items/all.h"

namespace prebake::identity {

Item ipa_client_item() {
    return {
        .name = "ipa-client",
        .order = 730,
        .why =
            "A clone would count as enrolled under the builder's name, and cannot be enrolled "
            "under its own.",
        .back = "ipa-client-install(1) writes it when the clone is enrolled.",
        .targets =
            {
                {Target::What::file, "/etc/ipa/ca.crt"},
                {Target::What::file, "/etc/ipa/default.conf"},
                {Target::What::contents, "/etc/ipa/nssdb"},
                {Target::What::contents, "/var/lib/ipa-client/pki"},
                {Target::What::contents, "/var/lib/ipa-client/sysrestore"},
            },
    };
}

}  // namespace prebake::identity
