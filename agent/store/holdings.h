#pragma once

#include <map>
#include <string>

#include "agent/containerd/connection.h"
#include "agent/containerd/content.h"
#include "agent/containerd/images.h"
#include "agent/containerd/snapshots.h"

namespace prebake::store {

/// What one namespace of containerd holds. Reading it takes three calls.
struct Holdings {
    std::string ns;
    std::string snapshotter;                                    ///< the one of `snapshots`
    std::map<std::string, containerd::Image> images;            ///< by name
    std::map<std::string, containerd::BlobInfo> blobs;          ///< by digest
    std::map<std::string, containerd::SnapshotInfo> snapshots;  ///< by name or key
};

/// `snapshots` is empty if `snapshotter` is empty or containerd does not have it. @throws Error
/// unavailable, timed_out, cancelled.
Holdings read_holdings(const containerd::Connection& connection, const std::string& ns,
                       const std::string& snapshotter);

}  // namespace prebake::store
