#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"

namespace prebake::containerd {

/// Every namespace of this containerd. @throws Error unavailable.
std::vector<std::string> namespaces(const Connection& connection);

struct Container {
    std::string id;
    std::string image;         ///< the name that its client gave; may be empty
    std::string snapshot_key;  ///< of its root file system; may be empty
};

/// A container to create.
struct NewContainer {
    std::string id;
    std::string image;  ///< its name
    std::string snapshotter;
    std::string snapshot_key;  ///< an active snapshot, which becomes the container's
    std::string spec;          ///< of the OCI runtime, in JSON
    Labels labels = {};
};

/// containerd.services.containers.v1 and tasks.v1, of one namespace.
class Containers {
  public:
    Containers(const Connection& connection, std::string ns);

    /// All containers, running or not.
    std::vector<Container> list() const;
    /// Nothing if there is no such container.
    std::optional<Container> find(const std::string& id) const;
    /// The IDs of the containers with a process that was started. It may have ended.
    std::set<std::string> started() const;
    /// To be run by runc. Nothing runs before tasks.h starts it. @throws Error conflict if `id`
    /// exists.
    void create(const NewContainer& container) const;
    /// Kills the container's processes, waits for their end, and removes the container; its
    /// writable snapshot becomes garbage. Does nothing if there is no such container.
    /// @throws Error timed_out if a process does not die within 30 seconds; unavailable.
    void remove(const std::string& id) const;

  private:
    const Connection& connection_;
    Scope scope_;
};

}  // namespace prebake::containerd
