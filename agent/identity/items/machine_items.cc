#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// What a machine is called and numbered.
// One line for each path.
// clang-format off
constexpr Item kMachineItems[] = {
    {
        .name = "hosts",
        .why = "Clones would resolve the builder's name to their own address.",
        .regeneration =
            "cloud-init (manage_etc_hosts) or prebake's first boot writes the instance's name.",
        .on_clone = OnClone::renew,
        .extra_changes = hosts_changes,
        .extra_description =
            "removes the builder's names from /etc/hosts and keeps everything else; adds the "
            "addresses of \"localhost\" if they are missing",
    },
    {
        .name = "mail-name",
        .why = "Clones would send mail under the builder's name.",
        .regeneration = "Not recreated. If clones send mail, set the name at first boot.",
        .extra_changes = mail_name_changes,
        .extra_description =
            "sets /etc/mailname to \"localhost\" and removes \"myhostname\" from "
            "/etc/postfix/main.cf, if they name the builder",
    },
    {
        .name = "hostname",
        .why =
            "Clones would use the builder's name in logs, in metrics and in requests to DHCP and "
            "DNS.",
        .regeneration =
            "cloud-init, the DHCP client or prebake's first boot sets the instance's name. Until "
            "then the transient host name applies (hostname(5)).",
        .on_clone = OnClone::renew,
        .targets = {
            // Emptied, not removed: systemd ignores an empty file (hostname(5)), and owner, mode
            // and SELinux label stay.
            empty("/etc/hostname"),
            remove("/etc/machine-info"),
        },
    },
    {
        .name = "machine-id",
        .why =
            "Clones would share everything that is derived from it: DHCP client IDs, D-Bus and "
            "journal IDs, MAC addresses of bridges, names of hybrid SSM nodes.",
        .regeneration =
            "systemd generates a new one at the next boot (on EC2 from the instance's SMBIOS "
            "UUID).",
        .on_clone = OnClone::renew,
        .extra_changes = machine_id_changes,
        .extra_description =
            "empties /etc/machine-id, or writes \"uninitialized\" to it if so configured; removes "
            "/var/lib/dbus/machine-id unless it is a link to /etc/machine-id",
        .proofs = {"/etc/machine-id", "/var/lib/dbus/machine-id"},
    },
    {
        .name = "boot-entries",
        .why = "The names of boot loader entries start with the builder's machine-id.",
        .regeneration =
            "Not recreated. Set an entry token (kernel-install(8), \"IMAGE_ID\" or \"ID\") before "
            "kernels are installed; entries are then not named after a machine.",
        .by_default = Default::report,
        .targets = {
            // Without them the machine does not boot. The pattern is a machine-id, 32 hex digits,
            // and a dash (systemd's BUILDING_IMAGES, Boot Menu Entry Identifiers).
            remove("/boot/loader/entries/???????????????????????????????[0-9a-f]-*.conf"),
            remove("/boot/efi/loader/entries/???????????????????????????????[0-9a-f]-*.conf"),
            remove("/efi/loader/entries/???????????????????????????????[0-9a-f]-*.conf"),
        },
    },
    {
        .name = "random-seed",
        .why =
            "Clones would seed their random number generators with the same bytes. Where the seed "
            "is credited (SYSTEMD_RANDOM_SEED_CREDIT), they could generate the same keys.",
        .regeneration =
            "systemd-random-seed.service writes a new one at the next boot and at each shutdown; "
            "bootctl(1) writes systemd-boot's.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/lib/systemd/random-seed"),
            remove("/var/lib/urandom/random-seed"),
            remove("/var/lib/random-seed"),
            // systemd-boot's, wherever the EFI system partition is mounted.
            remove("/boot/efi/loader/random-seed"),
            remove("/efi/loader/random-seed"),
            remove("/boot/loader/random-seed"),
        },
        .written_by = {{"systemd-random-seed.service"}},
    },
    // A clone keeps it: without it, services that load encrypted credentials would fail.
    {
        .name = "credential-secret",
        .why = "Any clone could decrypt the credentials that another clone encrypted for itself.",
        .regeneration =
            "systemd-creds(1) generates a new one when it next encrypts. Credentials that were "
            "encrypted with the old one become unreadable.",
        .targets = {
            remove("/var/lib/systemd/credential.secret"),
        },
    },
    {
        .name = "hostid",
        .why =
            "Programs that identify hosts or licenses by gethostid(3) would take all clones for "
            "one host.",
        .regeneration = "Without the file, glibc derives the ID from the host's address.",
        .on_clone = OnClone::renew,
        .extra_changes = hostid_changes,
        .extra_description = "removes /etc/hostid, unless ZFS pools use it",
        .proofs = {"/etc/hostid"},
    },
};
// clang-format on

}  // namespace

std::span<const Item> machine_items() {
    return kMachineItems;
}

}  // namespace prebake::identity
