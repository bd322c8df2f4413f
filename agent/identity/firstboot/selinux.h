#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity::firstboot {

/// Gives written files the labels of the SELinux policy: on the running machine, if SELinux is on
/// and restorecon(8) is installed. Files that do not exist are skipped.
/// @throws Error failed_precondition, timed_out, cancelled.
void restore_contexts(const machine::Root& root, const std::vector<std::string>& paths,
                      const std::stop_token& stop);

}  // namespace prebake::identity::firstboot
