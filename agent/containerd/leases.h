#pragma once

#include <chrono>
#include <functional>
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

/// A snapshot that a lease protects.
struct LeasedSnapshot {
    std::string snapshotter;
    std::string name;  ///< or the key, if it is not committed
};

/// When containerd removes what only a lease protected.
enum class Collection { later, awaited };

/// containerd.services.leases.v1, of one namespace.
class Leases {
  public:
    Leases(const Connection& connection, std::string ns);

    /// The lease expires after `lifetime` (label containerd.io/gc.expire), in case it is never
    /// removed. @throws Error conflict if `id` exists.
    void create(const std::string& id, std::chrono::seconds lifetime, Labels labels) const;
    std::vector<Lease> list() const;
    /// Does nothing if there is no such lease. With Collection::later, objects that only this lease
    /// protected stay on the disk until containerd collects its garbage for another reason: after
    /// a hundred changes, or when it is started.
    void remove(const std::string& id, Collection collection = Collection::later) const;

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
    /// The snapshots under a lease. @throws Error not_found.
    std::vector<LeasedSnapshot> snapshots(const std::string& id) const;
    /// Makes containerd collect its garbage now, and waits for the end.
    void collect_garbage() const;

  private:
    void add(const std::string& id, const std::string& type, const std::string& name) const;
    /// Calls `visit` with type and name of each.
    void for_each_resource(
        const std::string& id,
        const std::function<void(const std::string&, const std::string&)>& visit) const;

    const Connection& connection_;
    std::string ns_;
};

}  // namespace prebake::containerd
