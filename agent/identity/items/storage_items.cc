#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// Names under which storage is accessed, and swap.
// One line for each path.
// clang-format off
constexpr Item kStorageItems[] = {
    {
        .name = "iscsi-initiator",
        .why =
            "Storage targets would take all clones for one initiator and let them write to each "
            "other's volumes.",
        .regeneration =
            "iscsid's startup script (Debian), iscsi-init.service (Red Hat) or prebake's first "
            "boot generates a new name.",
        .on_clone = OnClone::renew,
        .extra_changes = iscsi_initiator_changes,
        .extra_description =
            "writes \"GenerateName=yes\" to /etc/iscsi/initiatorname.iscsi where iscsid supports "
            "it (Debian); otherwise removes the file",
        .proofs = {"/etc/iscsi/initiatorname.iscsi"},
    },
    {
        .name = "nvme-host",
        .why =
            "Storage targets would take all clones for one host and let them write to each "
            "other's volumes.",
        .regeneration =
            "prebake's first boot generates them, because the packages of nvme-cli do so only "
            "when they are installed.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/etc/nvme/hostnqn"),
            remove("/etc/nvme/hostid"),
        },
        .proofs = {"/etc/nvme/hostnqn", "/etc/nvme/hostid"},
    },
    // Only the ID: the data belong to the image.
    {
        .name = "mysql-uuid",
        .why = "Replication refuses two servers with one UUID.",
        .regeneration = "mysqld generates a new one when it next starts.",
        .targets = {
            remove("/var/lib/mysql/auto.cnf"),
        },
    },
    // Reported: the file also says which of a set's disks this is, without which the data are lost.
    {
        .name = "minio",
        .why = "All clones would be one deployment, with the same disks, to MinIO and its licence.",
        .regeneration =
            "Not recreated while there are data. Create the directories of the data at first boot "
            "instead: MinIO then writes new IDs.",
        .by_default = Default::report,
        .targets = {
            remove("/data/.minio.sys/format.json"),
            remove("/data/*/.minio.sys/format.json"),
            remove("/mnt/*/.minio.sys/format.json"),
            remove("/var/lib/minio/.minio.sys/format.json"),
        },
    },
    {
        .name = "block-devices",
        .why = "LVM and multipath would look for the builder's disks and not find the clone's own.",
        .regeneration =
            "Without a list of devices LVM uses all of them (lvmdevices(8)). multipathd and blkid "
            "write their files again.",
        .targets = {
            remove("/etc/lvm/devices/system.devices"),
            remove("/etc/lvm/devices/backup"),
            // Copies of old metadata, which name the host that made them.
            remove_inside("/etc/lvm/archive"),
            remove_inside("/etc/lvm/backup"),
            remove("/etc/lvm/cache/.cache"),
            remove("/etc/multipath/wwids"),
            remove("/etc/multipath/bindings"),
            remove("/etc/blkid.tab"),
            remove("/etc/blkid/blkid.tab"),
        },
    },
    {
        .name = "swap-files",
        .why = "A swap file holds what was in the builder's memory, including keys and passwords.",
        .regeneration =
            "Not recreated. If clones need swap, create it at first boot, with cloud-init's swap "
            "module or a drop-in.",
        .extra_changes = swap_files_changes,
        .extra_description =
            "removes /swapfile, /swap.img and every file that /etc/fstab uses as swap, with its "
            "line in /etc/fstab; swap must be off; to keep a swap file, skip this item ([seal] "
            "keep would keep the file but not the line)",
    },
};
// clang-format on

}  // namespace

std::span<const Item> storage_items() {
    return kStorageItems;
}

}  // namespace prebake::identity
