#include "agent/identity/items/all.h"

namespace prebake::identity {
namespace {

/// Red Hat's lie beside the directories of at(1).
Changes further(const machine::Root& root, const ItemSettings&) {
    const std::string spool = "/var/spool/cron/";
    Changes changes;
    for (const std::string& name : root.names_in(spool)) {
        const std::optional<machine::FileInfo> info = root.info(spool + name);
        if (info && info->type == machine::FileType::regular)
            changes.push_back({Change::Kind::remove, spool + name, {}});
    }
    return changes;
}

}  // namespace

// Off, because a crontab is more often a part of the image than a remain of its making.
Item crontabs_item() {
    return {
        .name = "crontabs",
        .order = 960,
        .why = "Jobs that somebody scheduled on the builder would run on every clone.",
        .back = "Nobody; crontab(1) makes new ones.",
        .by_default = Default::off,
        .targets =
            {
                {Target::What::file, "/var/spool/cron/crontabs/*"},
                {Target::What::file, "/var/spool/cron/tabs/*"},
            },
        .further = further,
        .further_says = "removes the users' files in /var/spool/cron",
    };
}

}  // namespace prebake::identity
