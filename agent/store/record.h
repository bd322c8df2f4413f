#pragma once

#include <filesystem>
#include <string>

#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::store {

/// Where the bake record is kept below the state directory.
std::filesystem::path record_path(const std::filesystem::path& state_dir);

/// @throws Error not_found when nothing was baked; corrupt when the file is not a bake record;
/// too_large.
v1::BakeRecord read_record(const std::filesystem::path& state_dir);

/// The same for callers that need a record: not_found has the next step.
v1::BakeRecord read_required_record(const std::filesystem::path& state_dir);

/// The same, with an empty record in place of a missing one.
v1::BakeRecord read_record_or_empty(const std::filesystem::path& state_dir);

/// Merges the result of a bake: replaces the entry with the same name and platform, or appends. Of
/// the same image (an equal manifest) everything that was baked before is still there, so
/// placements, names and what was kept or unpacked are united.
void merge_image(v1::BakeRecord& record, const v1::BakedImage& image);

/// Copies what the last bake that changed something took (bytes, seconds, time, versions).
void copy_cost(const v1::BakedImage& from, v1::BakedImage& to);

/// The entry with that name and platform, or null.
const v1::BakedImage* find_image(const v1::BakeRecord& record, const std::string& name,
                                 const std::string& platform);

/// The command that makes good what is missing, and nothing else: the recorded digest, not what its
/// tag means by now.
std::string how_to_bake_again(const v1::BakedImage& image, const std::string& ns);

/// Atomic and durable.
void write_record(const std::filesystem::path& state_dir, const v1::BakeRecord& record);

}  // namespace prebake::store
