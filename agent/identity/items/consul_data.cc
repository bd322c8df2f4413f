#include "agent/identity/items/all.h"
#include "agent/identity/items/consul_directories.h"

namespace prebake::identity {
namespace {

/// Raft's log names its voters by their node ids: a server that has the one without the other is
/// no voter, and cannot lead even a cluster of its own.
Changes further(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string& directory : consul_directories(root, ConsulRole::server))
        changes.push_back({Change::Kind::remove, directory + "/node-id", {}});
    return changes;
}

}  // namespace

// A clone keeps it: it may be a server that was restored from a snapshot.
Item consul_data_item() {
    return {
        .name = "consul-data",
        .order = 825,
        .why =
            "Every clone of a server would hold a copy of the cluster's data, and any clone "
            "the builder's services, tokens and gossip keys.",
        .back =
            "Consul gets it from the cluster that it joins; what was stored in the builder's "
            "own one does not come back.",
        .targets =
            {
                {Target::What::file, "/opt/consul/acl-tokens.json"},
                {Target::What::file, "/opt/consul/checks"},
                {Target::What::file, "/opt/consul/raft"},
                {Target::What::file, "/opt/consul/serf"},
                {Target::What::file, "/opt/consul/services"},
                {Target::What::file, "/opt/consul/data/acl-tokens.json"},
                {Target::What::file, "/opt/consul/data/checks"},
                {Target::What::file, "/opt/consul/data/raft"},
                {Target::What::file, "/opt/consul/data/serf"},
                {Target::What::file, "/opt/consul/data/services"},
                {Target::What::file, "/var/lib/consul/acl-tokens.json"},
                {Target::What::file, "/var/lib/consul/checks"},
                {Target::What::file, "/var/lib/consul/raft"},
                {Target::What::file, "/var/lib/consul/serf"},
                {Target::What::file, "/var/lib/consul/services"},
            },
        .further = further,
        .further_says = "removes node-id where raft is beside it: a server's",
        .proofs = {"/opt/consul/node-id", "/opt/consul/data/node-id", "/var/lib/consul/node-id"},
    };
}

}  // namespace prebake::identity
