#include "agent/identity/items/all.h"

namespace prebake::identity {

Item at_jobs_item() {
    return {
        .name = "at-jobs",
        .order = 950,
        .why = "A job that was put off on the builder would run on every clone.",
        .back = "Nobody; at(1) makes new ones.",
        .targets =
            {
                // Not the counter .SEQ, which only a package makes.
                {Target::What::file, "/var/spool/cron/atjobs/*"},
                {Target::What::file, "/var/spool/cron/atspool/*"},
                {Target::What::file, "/var/spool/at/[!s]*"},
                {Target::What::file, "/var/spool/at/spool/*"},
                {Target::What::file, "/var/spool/atjobs/*"},
                {Target::What::file, "/var/spool/atspool/*"},
            },
    };
}

}  // namespace prebake::identity
