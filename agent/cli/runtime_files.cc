#include "agent/cli/runtime_files.h"

#include "agent/identity/instance.h"

namespace prebake::cli {

std::filesystem::path last_status_path(const std::filesystem::path& socket) {
    return socket.parent_path() / "status.json";
}

std::string kernel_boot_id() {
    return identity::read_host_facts(identity::Root("/")).kernel_boot_id;
}

}  // namespace prebake::cli
