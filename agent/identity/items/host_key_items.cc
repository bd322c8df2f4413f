#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// Private keys that identify the host to others.
// One line for each path.
// clang-format off
constexpr Item kHostKeyItems[] = {
    {
        .name = "ssh-host-keys",
        .why = "Anyone with one clone could impersonate all others and read their SSH sessions.",
        .regeneration =
            "cloud-init generates new ones for each instance (cc_ssh). Without cloud-init, "
            "sshd-keygen@.service or prebake's first boot does.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/etc/ssh/ssh_host_*_key"),
            remove("/etc/ssh/ssh_host_*_key.pub"),
            remove("/etc/ssh/ssh_host_*_key-cert.pub"),
            // Protocol 1, and what Google's guest agent leaves when it is interrupted.
            remove("/etc/ssh/ssh_host_key"),
            remove("/etc/ssh/ssh_host_key.pub"),
            remove("/etc/ssh/ssh_host_*.temp"),
            remove("/etc/dropbear/dropbear_*_host_key"),
            remove("/etc/dropbear/dropbear_*_host_key.pub"),
        },
        .proofs = {"/etc/ssh/ssh_host_*_key.pub", "/etc/dropbear/dropbear_*_host_key.pub"},
    },
    {
        .name = "snakeoil-certificate",
        .why = "All clones would serve TLS with one private key, known to anyone with the image.",
        .regeneration =
            "prebake's first boot runs make-ssl-cert(8), because Debian's ssl-cert runs it only "
            "when it is installed.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/etc/ssl/private/ssl-cert-snakeoil.key"),
            remove("/etc/ssl/certs/ssl-cert-snakeoil.pem"),
        },
        .proofs = {"/etc/ssl/certs/ssl-cert-snakeoil.pem"},
    },
    {
        .name = "localhost-certificate",
        .why = "All clones would serve TLS with one private key, known to anyone with the image.",
        .regeneration =
            "httpd-init.service generates Apache's before httpd starts. cockpit generates its own "
            "at the next use.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/etc/pki/tls/private/localhost.key"),
            remove("/etc/pki/tls/certs/localhost.crt"),
            // Only the self-signed ones: an administrator's have another name.
            remove("/etc/cockpit/ws-certs.d/0-self-signed*"),
        },
        .proofs = {
            "/etc/pki/tls/certs/localhost.crt",
            "/etc/cockpit/ws-certs.d/0-self-signed.cert",
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> host_key_items() {
    return kHostKeyItems;
}

}  // namespace prebake::identity
