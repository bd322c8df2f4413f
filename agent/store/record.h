#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::store {

/// Limit of the record's file: some thousand images of a hundred layers.
inline constexpr std::size_t kMaxRecordBytes = 64UL << 20;

/// The path of the bake record in the state directory.
std::filesystem::path record_path(const std::filesystem::path& state_dir);

/// @throws Error not_found if nothing was baked; corrupt if the file is not a bake record;
/// unsupported if a later version of prebake wrote it; too_large if it is over kMaxRecordBytes.
v1::BakeRecord read_record(const std::filesystem::path& state_dir);

/// The same for commands that need a record: their error not_found says what to do.
v1::BakeRecord read_required_record(const std::filesystem::path& state_dir);

/// The same, with an empty record in place of a missing one.
v1::BakeRecord read_record_or_empty(const std::filesystem::path& state_dir);

/// The same for a bake, which writes a new record: a missing record is empty, and one that
/// cannot be used is renamed (base/set_aside.h) and counts as empty; `notice` then says so.
v1::BakeRecord take_record(const std::filesystem::path& state_dir, std::string& notice);

/// Merges the result of a bake: replaces the entry with the same name and platform, or appends one.
/// If the manifest is the same, what was baked before is still there, so the new entry also gets
/// the placements and names of the old one, what was kept or unpacked, and signatures of the same
/// target.
void merge_image(v1::BakeRecord& record, const v1::BakedImage& image);

/// Copies bytes, seconds, time and versions of the last bake that changed something.
void copy_cost(const v1::BakedImage& from, v1::BakedImage& to);

/// The entry with that name and platform, or null.
const v1::BakedImage* find_image(const v1::BakeRecord& record, const std::string& name,
                                 const std::string& platform);

/// Whether pods get the image through CRI: it is in k8s.io, and no artifact.
bool is_for_cri(const v1::BakedImage& image, const v1::Placement& placement);

/// The command that bakes the recorded digest again, even if the tag has moved since.
std::string how_to_bake_again(const v1::BakedImage& image, const std::string& ns);

/// Atomic and durable.
void write_record(const std::filesystem::path& state_dir, const v1::BakeRecord& record);

}  // namespace prebake::store
