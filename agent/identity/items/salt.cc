#include "agent/identity/items/all.h"

namespace prebake::identity {

Item salt_item() {
    return {
        .name = "salt",
        .order = 810,
        .why = "Clones would be one minion to the Salt master.",
        .back = "salt-minion makes an id from the host's name and a new key when it next starts.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/etc/salt/minion_id"},
                {Target::What::file, "/etc/salt/pki/minion/minion.pem"},
                {Target::What::file, "/etc/salt/pki/minion/minion.pub"},
            },
        .proofs = {"/etc/salt/minion_id", "/etc/salt/pki/minion/minion.pub"},
    };
}

}  // namespace prebake::identity
