#include <string>

#include "agent/identity/items/extra_changes.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

enum class ConsulRole { client, server };

/// Removes node-id from the usual data directories of agents in that role: a server's directory
/// holds raft's log.
Changes without_node_ids(const machine::Root& root, ConsulRole role) {
    Changes changes;
    for (const char* const directory : {"/opt/consul", "/opt/consul/data", "/var/lib/consul"}) {
        const bool is_server = root.info(std::string(directory) + "/raft").has_value();
        if (is_server == (role == ConsulRole::server))
            changes.push_back({Change::Kind::remove, std::string(directory) + "/node-id", {}});
    }
    return changes;
}

}  // namespace

/// Raft's log names its voters by their node IDs. A server that has only one of the two is no
/// voter, and cannot lead even a cluster of its own.
Changes consul_data_changes(const machine::Root& root, const ItemSettings&) {
    return without_node_ids(root, ConsulRole::server);
}

Changes consul_changes(const machine::Root& root, const ItemSettings&) {
    return without_node_ids(root, ConsulRole::client);
}

}  // namespace prebake::identity
