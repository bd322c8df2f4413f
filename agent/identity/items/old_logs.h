#pragma once

#include <string_view>

namespace prebake::identity {

/// True for the name of a log that is no longer written: rotated (syslog.1, messages-20240131,
/// audit.log.2), compressed (*.gz, ...) or dated (amazon-ssm-agent-audit-2024-01-31). Pure.
bool is_old_log(std::string_view name);

}  // namespace prebake::identity
