#include "agent/identity/items/extra_changes.h"

#include "agent/machine/root.h"

namespace prebake::identity {

Changes hostid_changes(const machine::Root& root, const ItemSettings&) {
    // ZFS pools hold the ID: with another one the root pool is not imported.
    if (!root.info("/etc/hostid") || root.info("/etc/zfs/zpool.cache")) return {};
    return {{Change::Kind::remove, "/etc/hostid", {}}};
}

}  // namespace prebake::identity
