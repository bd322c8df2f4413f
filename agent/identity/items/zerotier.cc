#include "agent/identity/items/all.h"

namespace prebake::identity {

Item zerotier_item() {
    return {
        .name = "zerotier",
        .order = 870,
        .why = "Clones would be one node of the network, with one private key.",
        .back =
            "zerotier-one makes a new identity when it next starts, which has to be "
            "authorised.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/var/lib/zerotier-one/identity.public"},
                {Target::What::file, "/var/lib/zerotier-one/identity.secret"},
                {Target::What::file, "/var/lib/zerotier-one/authtoken.secret"},
                {Target::What::contents, "/var/lib/zerotier-one/peers.d"},
            },
        .proofs = {"/var/lib/zerotier-one/identity.public"},
    };
}

}  // namespace prebake::identity
