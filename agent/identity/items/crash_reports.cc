#include "agent/identity/items/all.h"

namespace prebake::identity {

Item crash_reports_item() {
    return {
        .name = "crash-reports",
        .order = 1030,
        .why =
            "A core dump holds all that was in the memory of a process, keys and passwords "
            "included.",
        .back = "Nobody; the next crash writes a new one.",
        .targets =
            {
                {Target::What::contents, "/var/lib/systemd/coredump"},
                {Target::What::contents, "/var/lib/systemd/pstore"},
                {Target::What::contents, "/var/crash"},
                {Target::What::contents, "/var/spool/abrt"},
                {Target::What::contents, "/var/spool/abrt-upload"},
                {Target::What::contents, "/var/lib/apport/coredump"},
                {Target::What::file, "/var/lib/whoopsie/whoopsie-id"},
                {Target::What::file, "/core.[0-9]*"},
                {Target::What::file, "~/core.[0-9]*"},
            },
    };
}

}  // namespace prebake::identity
