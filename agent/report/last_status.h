#pragma once

#include <filesystem>
#include <string>

namespace prebake::report {

/// Where the daemon leaves its last status for those who come when it does not run: beside its
/// socket, so gone with the boot.
std::filesystem::path last_status_path(const std::filesystem::path& socket);

/// Of the kernel that runs; empty if it does not say.
std::string kernel_boot_id();

}  // namespace prebake::report
