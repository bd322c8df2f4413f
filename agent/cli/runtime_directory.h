#pragma once

#include <filesystem>

#include "agent/cli/config.h"

namespace prebake::cli {

/// Where commands leave what others look at while the machine runs, such as the progress of
/// hydration: beside the daemon's socket.
inline std::filesystem::path runtime_directory(const Config& config) {
    const std::filesystem::path& socket = config.endpoint.socket;
    return socket.empty() ? std::filesystem::path("/run/prebake") : socket.parent_path();
}

}  // namespace prebake::cli
