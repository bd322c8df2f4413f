#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/containerd/snapshots.h"

namespace prebake::containerd {

/// containerd.services.tasks.v1, of one namespace: the processes of containers. They end, and go,
/// with Containers::remove().
class Tasks {
  public:
    Tasks(const Connection& connection, std::string ns);

    /// Makes everything ready for the container's process and returns its process ID. `rootfs` are
    /// the mounts of its snapshot. What it writes to stdout and stderr goes into the pipe
    /// (mkfifo(3)) `output`, which must be open for reading. @throws Error not_found if there is no
    /// such container.
    std::uint32_t create(const std::string& id, const std::vector<Mount>& rootfs,
                         const std::string& output) const;
    /// Runs the process. @throws Error io with the reason of runc: no such program, for example.
    void start(const std::string& id) const;
    /// Waits until the process ends, without a time limit. Returns its exit status, 128 + n after
    /// signal n. @throws Error not_found if there is no such task.
    std::uint32_t wait(const std::string& id) const;

  private:
    const Connection& connection_;
    Scope scope_;
};

}  // namespace prebake::containerd
