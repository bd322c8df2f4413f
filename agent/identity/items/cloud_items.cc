#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// What cloud-init and the agents of the clouds keep.
// One line for each path.
// clang-format off
constexpr Item kCloudItems[] = {
    // Before the items that ask whether cloud-init will run.
    {
        .name = "installer-config",
        .why =
            "Clones would recreate the installer's user with its password, find no data source, "
            "and configure a network interface that has the builder's MAC address.",
        .regeneration =
            "Not recreated. cloud-init configures the clone from its data source; where clones "
            "have none, keep /etc/netplan/00-installer-config*.yaml (`[seal] keep`), or they may "
            "have no network.",
        .extra_changes = installer_config_changes,
        .extra_description =
            "removes what Ubuntu's installer wrote for this machine to /etc/cloud and "
            "/etc/netplan, unless cloud-init would not run on a clone; the files in /etc/netplan "
            "stay if the configuration of cloud-init disables its network configuration",
    },
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
    // Reported: the image's maker may bring a data source or users in these files on purpose.
    {
        .name = "cloud-init-seed",
        .why =
            "Every clone would have the seed's instance ID, host name and users, unless its cloud "
            "has a data source of its own.",
        .regeneration =
            "Not recreated. If the seed was only for the build, remove it with `cloud-init clean "
            "--seed`.",
        .by_default = Default::report,
        .targets = {
            remove("/var/lib/cloud/seed/*/meta-data"),
            remove("/var/lib/cloud/seed/*/network-config"),
            remove("/var/lib/cloud/seed/*/user-data"),
            remove("/var/lib/cloud/seed/*/vendor-data"),
        },
    },
    {
        .name = "cloud-init-accounts",
        .why =
            "Every clone would create these accounts again, with the passwords or the SSH keys "
            "that a seal removes.",
        .regeneration = "Not recreated. Give clones their accounts with user data.",
        .by_default = Default::report,
        .extra_changes = cloud_init_accounts_changes,
        .extra_description =
            "finds files in /etc/cloud and /var/lib/cloud/seed that give an account a password or "
            "an SSH key",
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
