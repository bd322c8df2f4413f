#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/store/finding.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::store {

enum class Depth {
    metadata,  ///< what containerd lists, and that each blob's file is complete
    content,   ///< every blob is read and hashed too, and the files of snapshots are compared with
               ///< it
};

struct VerifyOptions {
    Depth depth = Depth::metadata;
    std::vector<std::string> namespaces = {};  ///< empty: all of the record
    /// Where images must be unpacked. Empty: into the recorded snapshotter.
    std::string snapshotter = {};
    /// The same for single namespaces. Overrides `snapshotter`.
    std::map<std::string, std::string> snapshotters = {};
    /// CRI's sandbox image, which must be there if an image is for pods. Empty: it need not be.
    std::string sandbox = {};
};

/// Compares the record with the store: names, their targets and labels, blobs with their sizes and
/// the references that protect them from garbage collection, snapshots, and what CRI resolves each
/// name to. Changes nothing. (To see the files of snapshots, it creates views of them, and removes
/// these again.) With Depth::metadata, takes a few calls for each namespace, not for
/// each image, except for images that share an image ID. @throws Error if containerd does not
/// answer; cancelled.
Verification verify(const v1::BakeRecord& record, const containerd::Connection& connection,
                    const VerifyOptions& options);

}  // namespace prebake::store
