#include "agent/identity/items/all.h"

namespace prebake::identity {
namespace {

Changes further(const machine::Root& root, const ItemSettings&) {
    // The pools of a machine with ZFS carry the id: without it the root pool is not imported.
    if (!root.info("/etc/hostid") || root.info("/etc/zfs/zpool.cache")) return {};
    return {{Change::Kind::remove, "/etc/hostid", {}}};
}

}  // namespace

Item hostid_item() {
    return {
        .name = "hostid",
        .order = 70,
        .why =
            "Programs that know hosts and licences by gethostid(3) would take all clones for "
            "one.",
        .back = "glibc derives it from the host's address where there is no file.",
        .on_clone = OnClone::renew,
        .further = further,
        .further_says = "removes /etc/hostid, unless ZFS pools carry it",
        .proofs = {"/etc/hostid"},
    };
}

}  // namespace prebake::identity
