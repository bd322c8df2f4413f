#pragma once

#include <chrono>
#include <string>

namespace prebake {

/// Since the kernel started, with the time that the machine slept.
std::chrono::nanoseconds uptime();

/// The kernel's name for this boot. @throws Error io, not_found.
std::string read_boot_id();

}  // namespace prebake
