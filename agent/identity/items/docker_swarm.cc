#include "agent/identity/items/all.h"
#include "agent/identity/items/storage_roots.h"

namespace prebake::identity {
namespace {

Changes further(const machine::Root& root, const ItemSettings&) {
    return {{Change::Kind::remove, docker_root(root) + "/swarm", {}}};
}

}  // namespace

// A clone keeps it: it may be a manager that was restored from a snapshot.
Item docker_swarm_item() {
    return {
        .name = "docker-swarm",
        .order = 405,
        .why =
            "Clones would be one node of a swarm with one certificate, and clones of a manager "
            "would hold all its secrets.",
        .back = "Nobody; a clone has to join a swarm, or create one.",
        .targets =
            {
                {Target::What::file, "/var/lib/docker/swarm"},
                {Target::What::file, "/var/snap/docker/common/var-lib-docker/swarm"},
            },
        .further = further,
        .further_says = "the same below the data-root of /etc/docker/daemon.json",
    };
}

}  // namespace prebake::identity
