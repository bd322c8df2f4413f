#include "agent/identity/items/all.h"

namespace prebake::identity {

Item login_records_item() {
    return {
        .name = "login-records",
        .order = 1060,
        .why = "It tells who used the builder, when and from where.",
        .back = "pam_lastlog2, pam_wtmpdb and accton(8) write it anew.",
        .targets =
            {
                // The databases of recent releases.
                {Target::What::file, "/var/lib/lastlog/lastlog2.db*"},
                {Target::What::file, "/var/lib/wtmpdb/wtmp.db*"},
                // Emptied: accounting is not switched on without the file.
                {Target::What::bytes, "/var/account/pacct"},
                {Target::What::file, "/var/account/pacct.*"},
                {Target::What::file, "/var/account/pacct-*"},
                // The older ones lose mode and group if they are removed.
                {Target::What::bytes, "/var/log/wtmp"},
                {Target::What::bytes, "/var/log/btmp"},
                {Target::What::bytes, "/var/log/lastlog"},
                {Target::What::bytes, "/var/log/faillog"},
                {Target::What::bytes, "/var/log/tallylog"},
            },
    };
}

}  // namespace prebake::identity
