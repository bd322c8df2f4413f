#include "agent/identity/items/all.h"
#include "agent/identity/items/storage_roots.h"

namespace prebake::identity {
namespace {

Changes further(const machine::Root& root, const ItemSettings&) {
    const std::string state = docker_root(root);
    Changes changes{{Change::Kind::remove, state + "/network/files/local-kv.db", {}}};
    for (const char* const directory : {"/containers/", "/tmp/"}) {
        for (const std::string& name : root.names_in(state + directory))
            changes.push_back({Change::Kind::remove, state + directory + name, {}});
    }
    return changes;
}

}  // namespace

// Never image, overlay2 and their like: images are baked there. Volumes, anonymous ones too, are
// data, buildkit is a cache that overlay2 refers to: they stay.
Item docker_containers_item() {
    return {
        .name = "docker-containers",
        .order = 410,
        .why =
            "The builder's containers, with their names, environments and logs, would be on "
            "every clone and start there.",
        .back =
            "Nobody; dockerd makes its default networks when it next starts, and volumes, named or "
            "anonymous, were never removed.",
        .targets =
            {
                {Target::What::contents, "/var/lib/docker/containers"},
                {Target::What::contents, "/var/lib/docker/tmp"},
                {Target::What::file, "/var/lib/docker/network/files/local-kv.db"},
                {Target::What::contents, "/var/snap/docker/common/var-lib-docker/containers"},
                {Target::What::contents, "/var/snap/docker/common/var-lib-docker/tmp"},
                {Target::What::file,
                 "/var/snap/docker/common/var-lib-docker/network/files/local-kv.db"},
            },
        .further = further,
        .further_says = "the same below the data-root of /etc/docker/daemon.json",
    };
}

}  // namespace prebake::identity
