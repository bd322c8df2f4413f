#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"

namespace prebake::containerd {

struct Lease {
    std::string id;
    Labels labels;
};

/// containerd.services.leases.v1, of one namespace.
class Leases {
  public:
    Leases(const Connection& connection, std::string ns);

    /// Expires by itself after `lifetime` (label containerd.io/gc.expire), should we never come
    /// back. An existing `id` is an Error conflict.
    void create(const std::string& id, std::chrono::seconds lifetime, Labels labels) const;
    std::vector<Lease> list() const;
    /// One that does not exist is fine. What only this lease kept is collected soon after.
    void remove(const std::string& id) const;

    /// Puts an existing snapshot under a lease.
    void add_snapshot(const std::string& id, const std::string& snapshotter,
                      const std::string& name) const;
    /// Has containerd collect its garbage now, and waits for the end of it.
    void collect_garbage() const;

  private:
    enum class Collection { later, awaited };
    void remove(const std::string& id, Collection collection) const;

    const Connection& connection_;
    std::string ns_;
};

}  // namespace prebake::containerd
