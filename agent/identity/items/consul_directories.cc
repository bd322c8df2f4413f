#include "agent/identity/items/consul_directories.h"

namespace prebake::identity {

std::vector<std::string> consul_directories(const machine::Root& root, ConsulRole role) {
    std::vector<std::string> directories;
    for (const char* const directory : {"/opt/consul", "/opt/consul/data", "/var/lib/consul"}) {
        const bool is_server = root.info(std::string(directory) + "/raft").has_value();
        if (is_server == (role == ConsulRole::server)) directories.emplace_back(directory);
    }
    return directories;
}

}  // namespace prebake::identity
