#pragma once

#include <string>

#include "agent/base/error.h"

/// The log on stderr. (Reports go to stdout.) Levels: error, something failed; warning, it
/// succeeded but needs attention; info, what was done; debug, how.
namespace prebake::cli {

/// Shows this level ("error", "warn", "info" or "debug") and the levels before it.
void set_log_level(const std::string& level);

/// The message and, on a second line, the next step.
void log_error(const Error& error);
void log_warning(const std::string& message);
void log_info(const std::string& message);
void log_debug(const std::string& message);

}  // namespace prebake::cli
