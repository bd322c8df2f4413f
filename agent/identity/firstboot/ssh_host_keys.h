#pragma once

namespace prebake::identity::firstboot {

struct SshHostKeyFacts {
    bool has_server = false;
    bool cloud_init_is_active = false;
    bool has_keygen_unit = false;  ///< sshd-keygen@.service of the Fedora family
};

enum class SshHostKeyOwner { nobody, cloud_init, sshd_keygen, prebake };

/// Who makes the host keys of this machine. cloud-init first: by default it throws
/// away what others made; its package switches sshd-keygen@.service off. Pure.
SshHostKeyOwner owner_of_ssh_host_keys(const SshHostKeyFacts& facts);

}  // namespace prebake::identity::firstboot
