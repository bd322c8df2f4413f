#pragma once

#include <string>
#include <vector>

#include "agent/containerd/connection.h"

namespace prebake::containerd {

/// Every namespace of this containerd. @throws Error unavailable.
std::vector<std::string> namespaces(const Connection& connection);

/// containerd.services.containers.v1 and tasks.v1, of one namespace.
class Containers {
  public:
    Containers(const Connection& connection, std::string ns);

    /// The ids of all containers, running or not.
    std::vector<std::string> list() const;
    /// Kills the container's processes, waits for their end, and removes the container; its
    /// writable snapshot becomes garbage. Does nothing if there is no such container.
    /// @throws Error timed_out if a process does not die within 30 seconds; unavailable.
    void remove(const std::string& id) const;

  private:
    const Connection& connection_;
    Scope scope_;
};

}  // namespace prebake::containerd
