#include "agent/identity/items/all.h"

namespace prebake::identity {

Item boot_entries_item() {
    return {
        .name = "boot-entries",
        .order = 45,
        .why = "The names of boot loader entries begin with the builder's machine-id.",
        .back =
            "Nobody; set an entry token (kernel-install(8), \"IMAGE_ID\" or \"ID\") before "
            "kernels are installed, and no entry is named after a machine.",
        .by_default = Default::report,
        .targets =
            {
                // Without them the machine does not boot: 32 characters and a dash are the form of
                // a machine-id (systemd's BUILDING_IMAGES, Boot Menu Entry Identifiers).
                {Target::What::file,
                 "/boot/loader/entries/???????????????????????????????[0-9a-f]-*.conf"},
                {Target::What::file,
                 "/boot/efi/loader/entries/???????????????????????????????[0-9a-f]-*.conf"},
                {Target::What::file,
                 "/efi/loader/entries/???????????????????????????????[0-9a-f]-*.conf"},
            },
    };
}

}  // namespace prebake::identity
