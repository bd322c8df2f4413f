#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// Credentials of the people who built the image.
// One line for each path.
// clang-format off
constexpr Item kCredentialItems[] = {
    // Not /etc/containerd/certs.d: credentials there are mixed with the configuration of mirrors,
    // which clones need. The scan for secrets reports them.
    {
        .name = "registry-credentials",
        .why =
            "Anyone with the image could pull images, and perhaps push them, as the person who "
            "built it.",
        .regeneration =
            "Not recreated. Give clones a credential helper; its setting stays in these files.",
        .targets = {
            remove("~/.dockercfg"),
            remove("/var/lib/kubelet/.dockercfg"),
            remove("~/.docker/trust/private"),
            remove("~/snap/docker/*/.docker/trust/private"),
            remove("~/.ecr"),
        },
        .extra_changes = registry_credentials_changes,
        .extra_description =
            "removes passwords and tokens from config.json and auth.json of Docker, nerdctl, the "
            "kubelet, podman and Helm, and ECS_ENGINE_AUTH_DATA from /etc/ecs/ecs.config; removes "
            "a file that holds nothing else",
    },
    {
        .name = "cloud-credentials",
        .why = "Anyone with the image could act in the cloud as the person who built it.",
        .regeneration =
            "Not recreated. An instance gets credentials from its role; a person logs in again.",
        .targets = {
            // Not ~/.aws/config: region and role are configuration. The scan for secrets finds
            // keys in it.
            remove("~/.aws/credentials"),
            remove("~/.aws/cli/cache"),
            remove("~/.aws/sso/cache"),
            remove("~/.aws/boto/cache"),
            remove("~/.aws/login"),
            remove("~/.azure"),
            remove("~/.config/gcloud"),
            remove("~/.gsutil"),
        },
    },
    {
        .name = "kubernetes-credentials",
        .why = "Anyone with the image could act in the clusters of the person who built it.",
        .regeneration = "Not recreated. The cluster issues a new kubeconfig.",
        .targets = {
            remove("~/.kube"),
        },
    },
    // Only what a tool writes at a login. Files that people write by hand, with other settings
    // (~/.npmrc, ~/.my.cnf, ~/.pgpass, ~/.config/pip), stay; the scan for secrets reports secrets
    // in them.
    {
        .name = "tool-credentials",
        .why =
            "Anyone with the image could read and write the repositories of the person who built "
            "it.",
        .regeneration = "Not recreated. A person logs in again.",
        .targets = {
            remove("~/.netrc"),
            remove("~/.git-credentials"),
            remove("~/.config/git/credentials"),
            remove("~/.config/gh/hosts.yml"),
            remove("~/.config/glab-cli/config.yml"),
            remove("~/.cargo/credentials"),
            remove("~/.cargo/credentials.toml"),
            remove("~/.gem/credentials"),
            remove("~/.pypirc"),
            remove("~/.vault-token"),
            remove("~/.terraform.d/credentials.tfrc.json"),
        },
    },
    {
        .name = "authorized-keys",
        .why = "Everyone who could log in to the builder could log in to every clone.",
        .regeneration =
            "cloud-init writes the key of the instance's key pair. If keys belong to the image, "
            "skip this item.",
        .targets = {
            // Packer leaves a .bak file beside it.
            remove("~/.ssh/authorized_keys*"),
        },
    },
    // Not ~/.ssh/config: it is configuration and holds no key.
    {
        .name = "ssh-user-keys",
        .why =
            "Anyone with the image could log in wherever the person who built it can, and would "
            "know where that is.",
        .regeneration = "Not recreated. Users create or bring their own keys.",
        .targets = {
            remove("~/.ssh/id_*"),
            remove("~/.ssh/identity*"),
            remove("~/.ssh/*.pem"),
            remove("~/.ssh/*.key"),
            remove("~/.ssh/*.ppk"),
            remove("~/.ssh/environment"),
            remove("~/.ssh/known_hosts*"),
        },
    },
    {
        .name = "gnupg-keys",
        .why = "Anyone with the image could sign and decrypt as the person who built it.",
        .regeneration = "Not recreated. Users bring their own keys.",
        .targets = {
            // Public keys stay: packages are verified with them.
            remove("~/.gnupg/private-keys-v1.d"),
            remove("~/.gnupg/openpgp-revocs.d"),
            remove("~/.gnupg/secring.gpg"),
            remove("~/.gnupg/random_seed"),
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> credential_items() {
    return kCredentialItems;
}

}  // namespace prebake::identity
