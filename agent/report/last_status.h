#pragma once

#include <filesystem>
#include <string>

namespace prebake::report {

/// Where the daemon stores its last status for `prebake status` while it does not run: next to its
/// socket, so it does not survive a reboot.
std::filesystem::path last_status_path(const std::filesystem::path& socket);

/// The boot ID of the running kernel; empty if it is not available.
std::string kernel_boot_id();

}  // namespace prebake::report
