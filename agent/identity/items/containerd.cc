#include "agent/identity/items/all.h"
#include "agent/identity/items/storage_roots.h"

namespace prebake::identity {
namespace {

Changes further(const machine::Root& root, const ItemSettings&) {
    return {{Change::Kind::remove,
             containerd_root(root) + "/io.containerd.grpc.v1.introspection/uuid",
             {}}};
}

}  // namespace

Item containerd_item() {
    return {
        .name = "containerd",
        .order = 420,
        .why = "Clones would be one containerd by its id, to whoever collects from them.",
        .back = "containerd makes a new id when it is next asked for it.",
        .on_clone = OnClone::renew,
        .targets = {{Target::What::file,
                     "/var/lib/containerd/io.containerd.grpc.v1.introspection/uuid"}},
        .further = further,
        .further_says = "the same below the root of /etc/containerd/config.toml",
        .proofs = {"/var/lib/containerd/io.containerd.grpc.v1.introspection/uuid"},
    };
}

}  // namespace prebake::identity
