#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"

namespace prebake::containerd {

struct Lease {
    std::string id;
    Labels labels;
    /// Nothing: never, or in a form that containerd does not read either.
    std::optional<std::chrono::system_clock::time_point> expires_at = {};
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
    /// The same for a blob, and what its gc.ref labels refer to. @throws Error not_found if there
    /// is no such lease.
    void add_blob(const std::string& id, const std::string& digest) const;
    /// Does nothing if the lease, or the blob in it, does not exist.
    void remove_blob(const std::string& id, const std::string& digest) const;
    /// The digests of add_blob(). @throws Error not_found.
    std::set<std::string> blobs(const std::string& id) const;
    /// Makes containerd collect its garbage now, and waits for the end.
    void collect_garbage() const;

  private:
    enum class Collection { later, awaited };
    void add(const std::string& id, const std::string& type, const std::string& name) const;
    void remove(const std::string& id, Collection collection) const;

    const Connection& connection_;
    std::string ns_;
};

}  // namespace prebake::containerd
