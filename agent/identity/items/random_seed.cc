#include "agent/identity/items/all.h"

namespace prebake::identity {

Item random_seed_item() {
    return {
        .name = "random-seed",
        .order = 50,
        .why =
            "Clones would start their random number generators from the same seed, and where "
            "it is credited (SYSTEMD_RANDOM_SEED_CREDIT) could make the same keys.",
        .back =
            "systemd-random-seed.service writes a new one at the next boot and at every "
            "shutdown, systemd-boot's by bootctl(1).",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/var/lib/systemd/random-seed"},
                {Target::What::file, "/var/lib/urandom/random-seed"},
                {Target::What::file, "/var/lib/random-seed"},
                // Of systemd-boot, wherever the EFI system partition is mounted.
                {Target::What::file, "/boot/efi/loader/random-seed"},
                {Target::What::file, "/efi/loader/random-seed"},
                {Target::What::file, "/boot/loader/random-seed"},
            },
    };
}

}  // namespace prebake::identity
