#include "agent/identity/items/all.h"

namespace prebake::identity {

// Not /etc/aliases.db, as EC2 Image Builder does: local mail is deferred until somebody runs
// newaliases.
Item mail_spool_item() {
    return {
        .name = "mail-spool",
        .order = 940,
        .why =
            "Mail to and from the builder would be on every clone, and what was still queued "
            "there be sent by each.",
        .back = "The mail programs make it anew.",
        .targets =
            {
                {Target::What::contents, "/var/mail"},
                {Target::What::contents, "/var/spool/mail"},
                {Target::What::contents, "/var/spool/postfix/active"},
                {Target::What::contents, "/var/spool/postfix/bounce"},
                {Target::What::contents, "/var/spool/postfix/corrupt"},
                {Target::What::contents, "/var/spool/postfix/defer"},
                {Target::What::contents, "/var/spool/postfix/deferred"},
                {Target::What::contents, "/var/spool/postfix/hold"},
                {Target::What::contents, "/var/spool/postfix/incoming"},
                {Target::What::contents, "/var/spool/postfix/maildrop"},
                {Target::What::file, "/var/spool/postfix/pid/master.pid"},
                {Target::What::file, "/var/lib/postfix/master.lock"},
                // The state of postfix's random numbers.
                {Target::What::file, "/var/lib/postfix/prng_exch"},
                {Target::What::contents, "/var/spool/exim4/input"},
                {Target::What::contents, "/var/spool/exim4/msglog"},
                {Target::What::contents, "/var/spool/exim4/db"},
                {Target::What::contents, "/var/spool/mqueue"},
                {Target::What::contents, "/var/spool/clientmqueue"},
            },
    };
}

}  // namespace prebake::identity
