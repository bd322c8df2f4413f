#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity::firstboot {

/// Gives files that were written the labels of the policy, where SELinux is on: on the running
/// machine, if restorecon(8) is there. Those that do not exist are left out.
/// @throws Error failed_precondition, timed_out, cancelled.
void restore_contexts(const machine::Root& root, const std::vector<std::string>& paths,
                      const std::stop_token& stop);

}  // namespace prebake::identity::firstboot
