#pragma once

#include <string>
#include <vector>

#include "agent/bake/event.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/leases.h"

namespace prebake::bake {

/// The lease that protects the blobs, ingests and snapshots of a bake from garbage collection until
/// images refer to them: one id, created in each namespace, because a lease belongs to a namespace.
/// It expires after a day. A bake that dies leaves it, and so everything that can be resumed; the
/// next bake that completes removes it.
class BakeLease {
  public:
    /// `owner` identifies the state directory: other bakes may use the same containerd.
    BakeLease(const containerd::Connection& connection, std::vector<std::string> namespaces,
              std::string owner);

    const std::string& id() const { return id_; }

    /// Removes this lease and those that earlier bakes of the same owner left, and with
    /// Collection::awaited what no image refers to.
    void release(containerd::Collection collection) const;
    /// The same. If a lease cannot be removed now, it expires, and a notice about `image` says so;
    /// `whose` is "the bake".
    void release_or_tell(containerd::Collection collection, const std::string& whose,
                         const std::string& image, EventSink& events) const;

  private:
    const containerd::Connection& connection_;
    std::vector<std::string> namespaces_;
    std::string owner_;
    std::string id_;
};

/// Removes the trees that earlier bakes of the owner were writing when they ended: nobody can
/// resume them, and they would take their disk space until a bake completes. What can be resumed
/// stays. True if there were any.
bool remove_unfinished_trees(const containerd::Connection& connection,
                             const std::vector<std::string>& namespaces, const std::string& owner);

}  // namespace prebake::bake
