#pragma once

namespace prebake::identity::firstboot {

struct SshHostKeyFacts {
    bool has_server = false;
    bool cloud_init_is_active = false;
    bool has_keygen_unit = false;  ///< sshd-keygen@.service, of Fedora and its relatives
};

enum class SshHostKeyOwner { nobody, cloud_init, sshd_keygen, prebake };

/// What creates the host keys of this machine. cloud-init comes first: by default it deletes the
/// keys of others, and its package disables sshd-keygen@.service. Pure.
SshHostKeyOwner owner_of_ssh_host_keys(const SshHostKeyFacts& facts);

}  // namespace prebake::identity::firstboot
