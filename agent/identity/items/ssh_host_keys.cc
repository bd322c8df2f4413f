#include "agent/identity/items/all.h"

namespace prebake::identity {

Item ssh_host_keys_item() {
    return {
        .name = "ssh-host-keys",
        .order = 80,
        .why = "Whoever has one clone could pose as any other one, and read its SSH sessions.",
        .back =
            "cloud-init makes new ones for every instance (cc_ssh), sshd-keygen@.service "
            "where they are missing, else prebake's first boot.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/etc/ssh/ssh_host_*_key"},
                {Target::What::file, "/etc/ssh/ssh_host_*_key.pub"},
                {Target::What::file, "/etc/ssh/ssh_host_*_key-cert.pub"},
                // Of protocol 1, and what Google's guest agent leaves when it is interrupted.
                {Target::What::file, "/etc/ssh/ssh_host_key"},
                {Target::What::file, "/etc/ssh/ssh_host_key.pub"},
                {Target::What::file, "/etc/ssh/ssh_host_*.temp"},
                {Target::What::file, "/etc/dropbear/dropbear_*_host_key"},
                {Target::What::file, "/etc/dropbear/dropbear_*_host_key.pub"},
            },
        .proofs = {"/etc/ssh/ssh_host_*_key.pub", "/etc/dropbear/dropbear_*_host_key.pub"},
    };
}

}  // namespace prebake::identity
