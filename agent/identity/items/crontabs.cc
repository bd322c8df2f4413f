#include "agent/identity/items/extra_changes.h"

#include "agent/machine/root.h"

namespace prebake::identity {

// Red Hat has them beside the directories of at(1).
Changes crontabs_changes(const machine::Root& root, const ItemSettings&) {
    const std::string spool = "/var/spool/cron/";
    Changes changes;
    for (const std::string& name : root.names_in(spool)) {
        const std::optional<machine::FileInfo> info = root.info(spool + name);
        if (info && info->type == machine::FileType::regular)
            changes.push_back({Change::Kind::remove, spool + name, {}});
    }
    return changes;
}

}  // namespace prebake::identity
