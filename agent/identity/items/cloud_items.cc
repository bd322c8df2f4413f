#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// What cloud-init and the agents of the clouds keep.
// One line for each path.
// clang-format off
constexpr Item kCloudItems[] = {
    {
        .name = "cloud-init",
        .why =
            "A clone could take itself for the builder and skip its own setup. It would also hold "
            "the builder's user data, with all secrets in it.",
        .regeneration = "cloud-init recreates it at the next boot.",
        .on_clone = OnClone::renew,
        .targets = {
            // What `cloud-init clean` removes, except the scripts, which are an item of their own.
            // The seed stays, as there: some images bring their data source in it.
            remove("/var/lib/cloud/data"),
            remove("/var/lib/cloud/handlers"),
            remove("/var/lib/cloud/instance"),
            remove("/var/lib/cloud/instances"),
            remove("/var/lib/cloud/sem"),
        },
    },
    {
        .name = "cloud-init-scripts",
        .why = "Scripts from the builder's user data would run on every clone.",
        .regeneration =
            "cloud-init writes those of the instance's own user data. To keep scripts that belong "
            "to the image, list them in `[seal] keep`.",
        .targets = {
            // Part handlers write scripts from user data here (x-shellscript-per-boot), beside the
            // administrator's.
            remove("/var/lib/cloud/scripts"),
        },
    },
    {
        .name = "cloud-init-users",
        .why = "Users from the builder's user data would have root privileges on every clone.",
        .regeneration =
            "cloud-init writes it for the users that it creates on the instance, including the "
            "default user.",
        .extra_changes = cloud_init_users_changes,
        .extra_description =
            "removes /etc/sudoers.d/90-cloud-init-users, unless cloud-init would not create users "
            "again",
    },
    {
        .name = "cloud-init-sshd",
        .why =
            "What the builder's user data allowed, such as password logins, would be allowed on "
            "every clone.",
        .regeneration =
            "cloud-init writes the setting of the instance's own user data (ssh_pwauth).",
        .extra_changes = cloud_init_sshd_changes,
        .extra_description =
            "removes /etc/ssh/sshd_config.d/50-cloud-init.conf, unless all it does is forbid "
            "passwords",
    },
    {
        .name = "cloud-init-network",
        .why = "It is tied to the builder's MAC address, so a clone would have no network.",
        .regeneration = "cloud-init renders it for the instance before the network is set up.",
        .extra_changes = cloud_init_network_changes,
        .extra_description =
            "removes the network configuration that cloud-init rendered (netplan, NetworkManager, "
            "systemd-networkd, ifupdown), unless cloud-init would not render it again",
    },
    {
        .name = "azure-agent",
        .why =
            "It holds the builder's provisioning data (ovf-env.xml, with the password), "
            "certificates and private keys.",
        .regeneration = "The Azure agent provisions the instance and fetches them again.",
        .targets = {
            remove_inside("/var/lib/waagent"),
        },
        .written_by = {
            {"waagent.service", StopStage::managers},
            {"walinuxagent.service", StopStage::managers},
        },
    },
    {
        .name = "google-agent",
        .why = "Google's guest agent would not notice that it runs on another machine.",
        .regeneration = "The guest agent writes the instance's ID when it next starts.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/etc/google_instance_id"),
        },
        .written_by = {
            {"google-guest-agent*.service", StopStage::managers},
            {"google-osconfig-agent.service", StopStage::managers},
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> cloud_items() {
    return kCloudItems;
}

}  // namespace prebake::identity
