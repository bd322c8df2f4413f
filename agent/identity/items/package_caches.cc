#include "agent/identity/items/all.h"

namespace prebake::identity {

// Off, because nothing in them identifies a machine or is secret, and clones may need them.
Item package_caches_item() {
    return {
        .name = "package-caches",
        .order = 1020,
        .why = "They only take space in every clone.",
        .back =
            "The package manager fetches it again, at the cost of time on each clone that "
            "installs something.",
        .by_default = Default::off,
        .targets =
            {
                {Target::What::file, "/var/cache/apt/archives/*.deb"},
                {Target::What::file, "/var/cache/apt/archives/partial/*.deb"},
                {Target::What::file, "/var/cache/apt/*.bin"},
                {Target::What::file, "/var/lib/apt/lists/*_*"},
                {Target::What::file, "/var/lib/apt/lists/partial/*"},
                {Target::What::contents, "/var/cache/dnf"},
                {Target::What::contents, "/var/cache/libdnf5"},
                {Target::What::contents, "/var/cache/yum"},
                {Target::What::contents, "/var/cache/zypp"},
                {Target::What::file, "~/.cache/pip"},
            },
    };
}

}  // namespace prebake::identity
