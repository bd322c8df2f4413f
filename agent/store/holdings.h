#pragma once

#include <map>
#include <string>

#include "agent/containerd/connection.h"
#include "agent/containerd/content.h"
#include "agent/containerd/images.h"
#include "agent/containerd/snapshots.h"

namespace prebake::store {

/// What one namespace of containerd holds, read in a few calls however much it is.
struct Holdings {
    std::string ns;
    std::string snapshotter;                                    ///< that `snapshots` are of
    std::map<std::string, containerd::Image> images;            ///< by name
    std::map<std::string, containerd::BlobInfo> blobs;          ///< by digest
    std::map<std::string, containerd::SnapshotInfo> snapshots;  ///< by name or key
};

/// A snapshotter that containerd does not have gives no snapshots. @throws Error unavailable,
/// cancelled.
Holdings read_holdings(const containerd::Connection& connection, const std::string& ns,
                       const std::string& snapshotter);

}  // namespace prebake::store
