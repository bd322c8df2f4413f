#include "agent/identity/items/all.h"

namespace prebake::identity {

Item ssm_agent_item() {
    return {
        .name = "ssm-agent",
        .order = 1040,
        .why =
            "Clones would register with one private key, or be one managed instance, and hold "
            "the scripts and output of every command that was run on the builder.",
        .back =
            "amazon-ssm-agent registers the instance when it next starts; a hybrid node needs "
            "a new activation.",
        .on_clone = OnClone::renew,
        .targets =
            {
                // The same below a snap: it is a classic one. Packages, plugins and manifests are
                // caches without identity.
                {Target::What::file, "/var/lib/amazon/ssm/Vault"},
                {Target::What::file, "/var/lib/amazon/ssm/registration"},
                {Target::What::file, "/var/lib/amazon/ssm/runtimeconfig"},
                {Target::What::file, "/var/lib/amazon/ssm/credentials"},
                {Target::What::file, "/var/lib/amazon/ssm/ipc"},
                {Target::What::file, "/var/lib/amazon/ssm/i-*"},
                {Target::What::file, "/var/lib/amazon/ssm/mi-*"},
                {Target::What::file, "/var/lib/amazon/ssm/document"},
                {Target::What::file, "/var/lib/amazon/ssm/session"},
                {Target::What::file, "/var/lib/amazon/ssm/inventory"},
                // Commands that wait here are run by whoever boots.
                {Target::What::file, "/var/lib/amazon/ssm/localcommands"},
                {Target::What::file, "/var/lib/amazon/ssm/download"},
                {Target::What::file, "/var/lib/amazon/ssm/update"},
                {Target::What::file, "/var/lib/amazon/ssm/locks"},
            },
        .proofs = {"/var/lib/amazon/ssm/registration"},
    };
}

}  // namespace prebake::identity
