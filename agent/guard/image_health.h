#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/store/verify.h"
#include "proto/prebake/v1/bake_record.pb.h"

/// What the findings of a verification mean for each image. Pure.
namespace prebake::guard {

/// One baked image in one namespace, as it is now.
struct ImageHealth {
    std::string name;
    std::string ns;
    std::string digest;
    std::uint64_t bytes = 0;  ///< compressed, all layers
    bool is_sandbox = false;
    bool wants_pin = false;
    bool wants_unpacked = false;
    bool wants_cri = false;
    bool is_present = true;   ///< its names are there, and what a container needs of its content
    bool is_unpacked = true;  ///< in the effective snapshotter
    bool is_pinned = true;    ///< and its content is kept from garbage collection
    bool is_resolved = true;  ///< CRI knows it under every name that it must
    bool is_moved = false;    ///< a tag of it was pulled again and now points at another image
    bool is_unpinned_by_budget = false;
    bool is_evicted = false;  ///< unpinned by the budget, and deleted by the kubelet since
    bool is_repaired = false;
    std::string problem;  ///< of what is not as it was baked: what, and why
    std::string next_step;

    bool is_usable() const { return is_present && is_unpacked && is_resolved; }
};

/// The health of every image and namespace of the record, in its order. An image all of whose tags
/// were moved is no longer needed: its other problems do no harm.
std::vector<ImageHealth> health_of(const v1::BakeRecord& record,
                                   const std::vector<store::Finding>& findings);

/// True if bake::restore() can do something about one of the findings. (It leaves a moved
/// tag alone: the pull was intended.)
bool is_repairable(const store::Finding& finding);

/// Those findings that call for a repair: repairable, not about a name that was moved, and not of
/// an image all of whose tags were: who removes the rest of it is not to be hindered.
std::vector<store::Finding> repairable_of(const v1::BakeRecord& record,
                                          const std::vector<store::Finding>& findings);

/// What a repair that made these findings vanish has done: "recreated the name, pinned again".
std::string repair_of(const std::vector<store::Finding>& repaired, const std::string& snapshotter);

}  // namespace prebake::guard
