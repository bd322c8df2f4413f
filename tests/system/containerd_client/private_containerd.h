#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>

namespace prebake::test {

/// A containerd for one test, in a temporary directory, run from the executable of the daemon under
/// test. It can be killed, frozen and restarted; it dies with this process.
class PrivateContainerd {
  public:
    /// With `disk_bytes` its root is on a tmpfs of that size.
    explicit PrivateContainerd(std::size_t disk_bytes = 0);
    ~PrivateContainerd();
    PrivateContainerd(const PrivateContainerd&) = delete;
    PrivateContainerd& operator=(const PrivateContainerd&) = delete;

    std::string socket() const { return directory_ / "containerd.sock"; }
    /// Returns when it answers.
    void start();
    /// SIGKILL.
    void kill();
    void freeze();
    void thaw();

  private:
    std::filesystem::path directory_;
    std::filesystem::path executable_;
    bool mounted_ = false;
    pid_t pid_ = -1;
};

}  // namespace prebake::test
