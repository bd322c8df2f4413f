#pragma once

#include <chrono>
#include <string>

namespace prebake::registry {

/// "2.5 s", rounded down.
std::string in_seconds(std::chrono::milliseconds duration);

}  // namespace prebake::registry
