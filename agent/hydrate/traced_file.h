#pragma once

#include "agent/hydrate/file_ranges.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// A volume that ends after this is none: 2 EiB.
inline constexpr std::uint64_t kMaxVolumeChunks = 1ULL << 42;

/// @throws Error corrupt if a range has no length or ends after kMaxFileBytes.
FileRanges ranges_of(const v1::TracedFile& file);
void set_ranges(const FileRanges& ranges, v1::TracedFile& file);

/// @throws Error corrupt if a run is empty or ends after kMaxVolumeChunks.
ChunkSet chunks_of(const v1::TracedVolume& volume);
void set_chunks(const ChunkSet& chunks, v1::TracedVolume& volume);

/// True if `a` counts more: read by more recordings, then earlier.
bool is_hotter(const v1::TracedFile& a, const v1::TracedFile& b);

}  // namespace prebake::hydrate
