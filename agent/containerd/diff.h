#pragma once

#include <vector>

#include "agent/containerd/connection.h"
#include "agent/containerd/snapshots.h"
#include "agent/oci/manifest.h"

namespace prebake::containerd {

/// containerd.services.diff.v1
class Diff {
  public:
    Diff(const Connection& connection, Scope scope);

    /// Makes containerd unpack the stored layer `layer` into `mounts` and sync the file system
    /// (`sync_fs`, since 1.7.14). Returns the diffID that containerd computed; the caller compares
    /// it. @throws Error unsupported for a media type without a processor; corrupt for a broken
    /// layer; no_space if containerd's disk is full; not_found if the blob is missing.
    oci::Digest apply(const oci::Descriptor& layer, const std::vector<Mount>& mounts) const;

  private:
    const Connection& connection_;
    Scope scope_;
};

}  // namespace prebake::containerd
