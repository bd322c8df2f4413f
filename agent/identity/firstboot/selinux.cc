#include "agent/identity/firstboot/selinux.h"

#include "agent/base/process.h"

namespace prebake::identity::firstboot {

void restore_contexts(const machine::Root& root, const std::vector<std::string>& paths,
                      const std::stop_token& stop) {
    if (!root.is_running_machine() || !root.info("/sys/fs/selinux/enforce") ||
        !is_program("restorecon")) {
        return;
    }
    Command command{.arguments = {"restorecon", "-F"}, .environment = {}};
    for (const std::string& path : paths) {
        if (root.info(path)) command.arguments.push_back(path);
    }
    if (command.arguments.size() > 2) run_or_throw(command, stop);
}

}  // namespace prebake::identity::firstboot
