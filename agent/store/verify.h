#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/containerd/cri.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::store {

/// What is wrong.
enum class FindingKind {
    name_missing,
    name_moved,  ///< it points at another image; by image ID, at one with another config
    unmanaged,   ///< the name lacks the label of CRI
    unpinned,
    pin_ignored,  ///< it is pinned, and CRI does not honor the label (containerd
                  ///< before 1.6.22, 1.7.3)
    blob_missing,
    blob_damaged,        ///< it has another size or content, or its file is gone
    reference_missing,   ///< nothing protects it from garbage collection
    snapshot_missing,    ///< or not committed, or with another parent
    cri_unresolved,      ///< a pod with this name would pull
    cri_other_platform,  ///< the same, because it is for another platform than CRI takes here
    untrusted,           ///< a signature that a rule requires is not shown
    signature_lost,      ///< a recorded signature is not there, or does not hold; no rule asks
    unreadable,          ///< the check failed
};

/// True if the finding says something of this machine and its containerd, and nothing about what
/// was baked: a warning.
bool is_about_machine(FindingKind kind);

/// The check that led to a finding.
enum class Check {
    holdings,  ///< reading what the namespace holds
    names,
    blobs,
    references,
    snapshots,
    cri,
    signatures,  ///< by bake/signature_check.h
};

/// A difference between the bake record and the store.
struct Finding {
    FindingKind kind = FindingKind::unreadable;
    Check check = Check::holdings;  ///< with FindingKind::unreadable: the one that failed
    std::string image;
    std::string platform = {};
    std::string ns;
    std::string object;   ///< "name …", "blob …", "snapshot …", "CRI …"
    std::string subject;  ///< the name, digest or chain ID in it
    std::string expected;
    std::string found;
    std::string next_step;
};

enum class Depth {
    metadata,  ///< what containerd lists, and that each blob's file is complete
    content,   ///< every blob is read and hashed too
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

struct Verification {
    std::size_t images = 0;
    std::uint64_t blobs = 0;
    std::uint64_t snapshots = 0;
    std::uint64_t bytes_read = 0;
    std::size_t signatures = 0;  ///< verified again
    containerd::CriService cri;
    bool is_for_pods = false;       ///< an image is in k8s.io
    bool lacks_sandbox = false;     ///< CRI's sandbox image is not there, and the bake left it out
    std::size_t not_asked = 0;      ///< images for pods, if CRI does not answer
    std::vector<Finding> findings;  ///< empty if everything that was baked is usable
};

/// Compares the record with the store: names, their targets and labels, blobs with their sizes and
/// the references that protect them from garbage collection, snapshots, and what CRI resolves each
/// name to. Changes nothing. With Depth::metadata, takes a few calls for each namespace, not for
/// each image, except for images that share an image ID. @throws Error if containerd does not
/// answer; cancelled.
Verification verify(const v1::BakeRecord& record, const containerd::Connection& connection,
                    const VerifyOptions& options);

}  // namespace prebake::store
