#pragma once

#include <string>
#include <vector>

#include "agent/containerd/connection.h"

namespace prebake::bake {

/// The lease that keeps a bake's blobs, ingests and snapshots from garbage collection until images
/// refer to them: one id, created in each namespace (leases are namespaced). It expires by itself
/// after a day. A bake that dies leaves it, and with it everything to resume from; the next one
/// that completes removes it.
class BakeLease {
  public:
    /// `owner` tells the leases of this state directory from those of other bakes at the same
    /// containerd.
    BakeLease(const containerd::Connection& connection, std::vector<std::string> namespaces,
              std::string owner);

    const std::string& id() const { return id_; }

    /// Removes this lease and those that earlier bakes of the same owner left behind.
    void release() const;

  private:
    const containerd::Connection& connection_;
    std::vector<std::string> namespaces_;
    std::string owner_;
    std::string id_;
};

}  // namespace prebake::bake
