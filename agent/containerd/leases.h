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

    /// The lease expires after `lifetime` (label containerd.io/gc.expire), in case it is never
    /// removed. @throws Error conflict if `id` exists.
    void create(const std::string& id, std::chrono::seconds lifetime, Labels labels) const;
    std::vector<Lease> list() const;
    /// Does nothing if there is no such lease. Objects that only this lease protected are collected
    /// soon after.
    void remove(const std::string& id) const;

    /// Puts an existing snapshot under a lease.
    void add_snapshot(const std::string& id, const std::string& snapshotter,
                      const std::string& name) const;
    /// Makes containerd collect its garbage now, and waits for the end.
    void collect_garbage() const;

  private:
    enum class Collection { later, awaited };
    void remove(const std::string& id, Collection collection) const;

    const Connection& connection_;
    std::string ns_;
};

}  // namespace prebake::containerd
