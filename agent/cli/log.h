#pragma once

#include <string>

#include "agent/base/error.h"

/// The log of the command line, on stderr. (Reports go to stdout.) What the levels mean to the
/// operator: error, something was not done; warning, it was done but look here; info, what was
/// done; debug, how.
namespace prebake::cli {

/// "error", "warn", "info" or "debug": this level and those before it are shown.
void set_log_level(const std::string& level);

/// The message and, on a line of its own, the next step.
void log_error(const Error& error);
void log_warning(const std::string& message);
void log_info(const std::string& message);
void log_debug(const std::string& message);

}  // namespace prebake::cli
