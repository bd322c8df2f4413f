#include "agent/cli/runtime_files.h"

#include "agent/base/error.h"
#include "agent/node/this_boot.h"

namespace prebake::cli {

std::filesystem::path last_status_path(const std::filesystem::path& socket) {
    return socket.parent_path() / "status.json";
}

std::string kernel_boot_id() {
    try {
        return node::read_boot_id();
    } catch (const Error&) {
        return {};
    }
}

}  // namespace prebake::cli
