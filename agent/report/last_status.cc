#include "agent/report/last_status.h"

#include "agent/base/boot.h"
#include "agent/base/error.h"

namespace prebake::report {

std::filesystem::path last_status_path(const std::filesystem::path& socket) {
    return socket.parent_path() / "status.json";
}

std::string kernel_boot_id() {
    try {
        return read_boot_id();
    } catch (const Error&) {
        return {};
    }
}

}  // namespace prebake::report
