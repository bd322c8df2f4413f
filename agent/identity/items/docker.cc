#include <utility>

#include "agent/identity/items/all.h"
#include "agent/identity/items/storage_roots.h"

namespace prebake::identity {
namespace {

Changes further(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const char* const name : {"/engine-id", "/trust/key.json"})
        changes.push_back({Change::Kind::remove, docker_root(root) + name, {}});
    // Of the running machine it is dockerd's own, and in memory. In an image it is one that a
    // dockerd in a chroot left, and keeps the next one from starting.
    if (!root.is_running_machine()) {
        changes.push_back({Change::Kind::remove, "/run/docker.pid", {}});
        for (std::string& path : root.match("/var/snap/docker/*/run/docker.pid"))
            changes.push_back({Change::Kind::remove, std::move(path), {}});
    }
    return changes;
}

}  // namespace

Item docker_item() {
    return {
        .name = "docker",
        .order = 400,
        .why = "Clones would be one engine by its id.",
        .back = "dockerd makes a new id when it next starts.",
        .on_clone = OnClone::renew,
        .targets =
            {
                // Removed, never emptied: an empty file yields an empty id (moby, daemon/id.go).
                {Target::What::file, "/var/lib/docker/engine-id"},
                // Docker 23 derives the id from it again where there is no engine-id
                // (migrateTrustKeyID()); before, it was the id.
                {Target::What::file, "/etc/docker/key.json"},
                {Target::What::file, "/var/lib/docker/trust/key.json"},
                // The same of the snap, whose /etc/docker is a directory of each revision.
                {Target::What::file, "/var/snap/docker/common/var-lib-docker/engine-id"},
                {Target::What::file, "/var/snap/docker/common/var-lib-docker/trust/key.json"},
                {Target::What::file, "/var/snap/docker/*/etc/docker/key.json"},
            },
        .further = further,
        .further_says =
            "the same below the data-root of /etc/docker/daemon.json; removes "
            "/run/docker.pid, and the snap's, from an image",
        .proofs = {"/var/lib/docker/engine-id", "/etc/docker/key.json",
                   "/var/snap/docker/common/var-lib-docker/engine-id"},
    };
}

}  // namespace prebake::identity
