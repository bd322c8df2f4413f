#include "agent/identity/items/all.h"

namespace prebake::identity {

// Not chrony.keys, which administrators share among machines on purpose; not systemd's
// /var/lib/systemd/timesync/clock, which only keeps time from going back.
Item time_sources_item() {
    return {
        .name = "time-sources",
        .order = 930,
        .why =
            "Clones would use the builder's NTS cookies and keys, and correct their clocks by "
            "the drift of another one.",
        .back = "chronyd and ntpd make it anew while they run.",
        .targets =
            {
                {Target::What::file, "/var/lib/chrony/*.nts"},
                {Target::What::file, "/var/lib/chrony/ntskeys"},
                {Target::What::file, "/var/lib/chrony/chrony.drift"},
                {Target::What::file, "/var/lib/chrony/drift"},
                {Target::What::file, "/var/lib/ntp/ntp.drift"},
                {Target::What::file, "/var/lib/ntp/drift"},
                {Target::What::file, "/var/lib/ntpsec/ntp.drift"},
            },
    };
}

}  // namespace prebake::identity
