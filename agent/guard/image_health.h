#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/timestamp.h"
#include "agent/store/baked_images.h"
#include "agent/store/verify.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// Derives the health of each image from the findings of a verification. Pure.
namespace prebake::guard {

/// One baked image in one namespace, as it is now.
struct ImageHealth {
    std::string name;
    std::string ns;
    std::string platform = {};
    std::string digest;
    std::uint64_t bytes = 0;  ///< compressed, all layers
    bool is_sandbox = false;
    bool wants_pin = false;
    bool wants_unpacked = false;
    bool wants_cri = false;
    bool is_present = true;          ///< its names exist, and the content that a container needs
    bool is_unpacked = true;         ///< in the effective snapshotter
    bool is_pinned = true;           ///< and its content is kept from garbage collection
    bool is_resolved = true;         ///< CRI finds it by every name that pods use
    bool is_moved = false;           ///< one of its tags points to another image now
    bool is_abandoned = false;       ///< all of them do: nobody wants this image any more
    bool is_complete = true;         ///< all content that the bake kept is there, needed or not
    bool is_pin_ignored = false;     ///< it has the label, and CRI does not honor it
    bool is_other_platform = false;  ///< this machine does not run it, or CRI would not take it
    bool is_unpinned_by_budget = false;
    bool is_evicted = false;  ///< unpinned by the budget, then deleted by the kubelet
    bool is_removed = false;  ///< from Docker, on purpose
    bool is_repaired = false;
    Time checked_at{};    ///< when the check began that found this; set by reconcile()
    std::string problem;  ///< what is not as it was baked, and why
    std::string next_step;

    bool is_usable() const { return is_present && is_unpacked && is_resolved; }
    /// Not if all its tags are elsewhere now, somebody removed it, or this machine does not run it.
    bool is_needed() const { return !is_abandoned && !is_removed && !is_other_platform; }
    /// The kubelet does not delete it.
    bool is_kept() const { return is_pinned && !is_pin_ignored; }
    store::ImageKey key() const { return {.image = name, .ns = ns, .platform = platform}; }
};

/// The problem of an image that is_removed.
inline constexpr const char* kRemoved =
    "somebody removed it from Docker, again after it was restored once or with all its layers";

/// The image that the finding is about.
store::ImageKey key_of(const store::Finding& finding);

/// The health of every image and namespace of the record, in its order. If all tags of an image
/// were moved, the image is no longer wanted: other findings about it are ignored.
std::vector<ImageHealth> health_of(const v1::BakeRecord& record,
                                   const std::vector<store::Finding>& findings);

/// What findings mean for the machine. `prebake verify` and the daemon judge alike.
enum class StoreVerdict {
    as_baked,  ///< nothing was found, but what store::is_about_machine()
    degraded,  ///< every image is usable; something is not as it was baked
    /// An image of this machine's platform cannot be started without a pull, or a rule refuses one.
    not_usable,
};
/// Findings about an image that `record` does not have concern CRI's sandbox image.
StoreVerdict judge(const v1::BakeRecord& record, const std::vector<store::Finding>& findings);

/// True if bake::restore() can repair it. It does not move a tag back: the client that moved it did
/// so on purpose.
bool is_repairable(const store::Finding& finding);

/// The findings to repair: repairable, not about a moved name, and not about an image all of whose
/// tags were moved, because its other parts may be deleted on purpose.
std::vector<store::Finding> repairable_of(const v1::BakeRecord& record,
                                          const std::vector<store::Finding>& findings);

/// What a repair did after which these findings are gone: "recreated the name, pinned again".
std::string repair_of(const std::vector<store::Finding>& repaired, const std::string& snapshotter);

}  // namespace prebake::guard
