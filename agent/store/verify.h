#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::store {

/// The kind of a problem, for repairs.
enum class FindingKind {
    name_missing,
    name_moved,  ///< it points at another image
    unmanaged,   ///< CRI does not know the name for its own
    unpinned,
    blob_missing,       ///< or damaged
    reference_missing,  ///< nothing keeps it from garbage collection
    snapshot_missing,   ///< or not as it must be
    cri_unresolved,     ///< a pod that asks for the name would pull
    unreadable,         ///< it could not be checked
};

/// The check that led to a finding.
enum class Check {
    holdings,  ///< reading what the namespace holds
    names,
    blobs,
    references,
    snapshots,
    cri,
};

/// Something that is not as the bake record says.
struct Finding {
    FindingKind kind = FindingKind::unreadable;
    Check check = Check::holdings;  ///< with FindingKind::unreadable: the one that failed
    std::string image;
    std::string ns;
    std::string object;   ///< "name …", "blob …", "snapshot …", "CRI …"
    std::string subject;  ///< the name, digest or chain ID in it
    std::string expected;
    std::string found;
    std::string next_step;
};

enum class Depth {
    metadata,  ///< what containerd says it has, and that each file is there to its last byte
    content,   ///< every blob read and hashed too
};

struct VerifyOptions {
    Depth depth = Depth::metadata;
    std::vector<std::string> namespaces = {};  ///< empty: all that the record names
    /// Empty: the recorded one; else is it unpacked there?
    std::string snapshotter = {};
    /// The same for single namespaces; goes before `snapshotter`.
    std::map<std::string, std::string> snapshotters = {};
};

struct Verification {
    std::size_t images = 0;
    std::uint64_t blobs = 0;
    std::uint64_t snapshots = 0;
    std::uint64_t bytes_read = 0;
    std::vector<Finding> findings;  ///< none: everything that was baked is usable
};

/// A few calls for each namespace, however many images there are (with Depth::metadata).
/// Holds the record against the store: names, their targets and labels, blobs with their sizes and
/// the references that keep them from garbage collection, snapshots, and CRI's view of each name.
/// Changes nothing. @throws Error when containerd does not answer, or cancelled.
Verification verify(const v1::BakeRecord& record, const containerd::Connection& connection,
                    const VerifyOptions& options);

}  // namespace prebake::store
