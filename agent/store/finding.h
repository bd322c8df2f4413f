#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/containerd/cri.h"

namespace prebake::store {

/// What is wrong.
enum class FindingKind {
    name_missing,
    digest_lost,  ///< dockerd's graph driver has it by its tag, and no more by its digest
    name_moved,   ///< it points at another image; by image ID, at one with another config
    unmanaged,    ///< the name lacks the label of CRI
    unpinned,
    pin_ignored,  ///< it is pinned, and CRI does not honor the label (containerd
                  ///< before 1.6.22, 1.7.3)
    blob_missing,
    blob_damaged,        ///< it has another size or content, or its file is gone
    reference_missing,   ///< nothing protects it from garbage collection
    snapshot_missing,    ///< or not committed, or with another parent
    tree_damaged,        ///< a file of a snapshot is not as in its layer
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
    trees,
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
    std::string layer = {};        ///< FindingKind::tree_damaged: its digest
    std::string path = {};         ///< in it; empty if the finding is about several files
    std::string snapshotter = {};  ///< of the snapshot
};

/// A snapshot whose files could not be compared with its layer: nothing is known of them.
struct UncomparedTree {
    std::string image;
    std::string platform;
    std::string ns;
    std::string snapshot;  ///< chain ID
    std::string reason;
};

struct Verification {
    std::size_t images = 0;
    std::uint64_t blobs = 0;
    std::uint64_t snapshots = 0;
    std::uint64_t bytes_read = 0;
    std::uint64_t trees = 0;  ///< snapshots whose files were compared with their layers
    std::uint64_t files = 0;  ///< in them
    std::vector<UncomparedTree> uncompared = {};  ///< those that could not be
    std::size_t signatures = 0;                   ///< verified again
    containerd::CriService cri;
    bool is_for_pods = false;       ///< an image is in k8s.io
    bool lacks_sandbox = false;     ///< CRI's sandbox image is not there, and the bake left it out
    std::size_t not_asked = 0;      ///< images for pods, if CRI does not answer
    std::vector<Finding> findings;  ///< empty if everything that was baked is usable
};

/// True if the error is not about one object. Includes timeouts: each further check would wait as
/// long.
bool concerns_everything(const Error& error);

}  // namespace prebake::store
