#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/hydrate/file_system.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// The files of one baked image.
struct ImageFiles {
    struct Layer {
        std::string diff_id;
        std::filesystem::path directory;  ///< of its snapshot, without the layers below
    };
    std::string name;                          ///< as in the bake record
    int priority = 0;                          ///< higher is sooner; equal ones keep their order
    std::vector<Layer> layers;                 ///< bottom first; empty: not visible as directories
    std::vector<std::filesystem::path> blobs;  ///< layers in the content store, last of all
};

/// What a plan is made of. All paths are absolute.
struct PlanFiles {
    /// Without which no container starts, in the order of reading; directories stand for all that
    /// is in them. What is not there is left out.
    std::vector<std::filesystem::path> essentials;
    std::vector<ImageFiles> images;
    /// Files that are cheap to look at and stay where they are: see PlannedVolume.sentinels.
    std::vector<std::filesystem::path> sentinels;
};

/// What the first reader of a disk would wait for.
struct ColdBytes {
    std::uint64_t chunks = 0;         ///< of the plan, on all volumes
    std::uint64_t traced_chunks = 0;  ///< of its rank TRACED
    std::uint64_t traced_bytes = 0;   ///< that recordings saw in the files
    std::uint64_t untraced_images = 0;

    std::uint64_t bytes() const;
    /// Bytes of the chunks for each byte that recordings saw; 0 without recordings.
    double amplification() const;
};

struct MadePlan {
    v1::HydrationPlan plan;
    ColdBytes cold;
    std::vector<std::string> notes;  ///< why places of some files are not in the plan
};

/// Looks at all files. What was written before must be on the disk, or it has no place yet.
/// @throws Error permission_denied, io.
MadePlan make_plan(const PlanFiles& files, const v1::ReadTrace& trace, FileSystems& file_systems);

}  // namespace prebake::hydrate
