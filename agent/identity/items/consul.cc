#include "agent/identity/items/all.h"
#include "agent/identity/items/consul_directories.h"

namespace prebake::identity {
namespace {

Changes further(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string& directory : consul_directories(root, ConsulRole::client))
        changes.push_back({Change::Kind::remove, directory + "/node-id", {}});
    return changes;
}

}  // namespace

// Without proofs: a clone of a server keeps its id, see consul-data.
Item consul_item() {
    return {
        .name = "consul",
        .order = 830,
        .why = "Clones would be one node to Consul, which refuses all but one of them.",
        .back = "Consul makes a new id when it next starts, and joins by its configuration.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/opt/consul/checkpoint-signature"},
                {Target::What::file, "/opt/consul/data/checkpoint-signature"},
                {Target::What::file, "/var/lib/consul/checkpoint-signature"},
            },
        .further = further,
        .further_says =
            "removes node-id from /opt/consul, /opt/consul/data and /var/lib/consul, "
            "unless raft beside it shows a server",
    };
}

}  // namespace prebake::identity
