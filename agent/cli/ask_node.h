#pragma once

#include <chrono>
#include <string>

#include "agent/cli/commands.h"

namespace prebake::cli {

/// What the daemon of this node answers to GET `target`. Asks on its socket; a user who may not use
/// that is answered on loopback (report.listen), which has the same documents.
/// @throws Error as report::ask_daemon(); unavailable or failed_precondition if the status of the
/// answer is not 200.
std::string ask_node(const Invocation& invocation, const std::string& target,
                     std::chrono::milliseconds patience);

}  // namespace prebake::cli
