#include "agent/identity/items/all.h"

namespace prebake::identity {

Item block_devices_item() {
    return {
        .name = "block-devices",
        .order = 320,
        .why =
            "LVM and multipath would look for the builder's disks and not find the clone's "
            "own.",
        .back =
            "LVM uses all devices where there is no list of them (lvmdevices(8)), multipathd "
            "and blkid write theirs again.",
        .targets =
            {
                {Target::What::file, "/etc/lvm/devices/system.devices"},
                {Target::What::file, "/etc/lvm/devices/backup"},
                // Copies of old metadata; they name the host that made them.
                {Target::What::contents, "/etc/lvm/archive"},
                {Target::What::contents, "/etc/lvm/backup"},
                {Target::What::file, "/etc/lvm/cache/.cache"},
                {Target::What::file, "/etc/multipath/wwids"},
                {Target::What::file, "/etc/multipath/bindings"},
                {Target::What::file, "/etc/blkid.tab"},
                {Target::What::file, "/etc/blkid/blkid.tab"},
            },
    };
}

}  // namespace prebake::identity
