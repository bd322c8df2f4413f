#include "agent/identity/items/all.h"

namespace prebake::identity {

// Off, because dnf keeps there which packages nobody asked for: without it `dnf autoremove` finds
// none.
Item package_history_item() {
    return {
        .name = "package-history",
        .order = 1010,
        .why = "It tells who installed what on the builder, and when.",
        .back = "The package manager begins a new one.",
        .by_default = Default::off,
        .targets =
            {
                {Target::What::file, "/var/lib/dnf/history*"},
                {Target::What::file, "/var/lib/yum/history"},
                {Target::What::file, "/var/lib/PackageKit/transactions.db"},
            },
    };
}

}  // namespace prebake::identity
