#include "agent/identity/items/all.h"

namespace prebake::identity {

// A clone keeps it: copies of files that Salt replaced are in it, too.
Item salt_data_item() {
    return {
        .name = "salt-data",
        .order = 815,
        .why = "Pillars are secrets, and salt-minion caches those of the builder.",
        .back = "salt-minion gets them from the master when it next runs.",
        .targets =
            {
                {Target::What::contents, "/var/cache/salt/minion"},
            },
    };
}

}  // namespace prebake::identity
