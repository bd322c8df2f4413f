#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "agent/base/file.h"

namespace prebake::bake {

/// Keeps the bakes and the repairs of one state directory apart. The kernel releases it at the end
/// of the process.
class BakeLock {
  public:
    struct Patience {
        std::chrono::milliseconds time_limit{0};
        /// Called once, with the lock, if it takes longer than a second.
        std::function<void(const std::string&)> on_wait = {};
    };

    /// For a bake: waits for the other holder. While it waits, no repair can take the lock.
    /// @throws Error timed_out after the time limit, cancelled, and as FileLock.
    BakeLock(const std::filesystem::path& state_dir, const Patience& patience,
             const std::stop_token& stop);
    /// For a repair. @throws Error conflict if a bake runs or waits; as FileLock.
    static BakeLock for_repair(const std::filesystem::path& state_dir);
    /// Whether for_repair() would fail with conflict.
    static bool is_busy(const std::filesystem::path& state_dir);

  private:
    explicit BakeLock(FileLock lock) : lock_(std::move(lock)) {}

    std::optional<FileLock> lock_;
};

}  // namespace prebake::bake
