#pragma once

#include <cstdint>

#include "agent/hydrate/chunk_set.h"

namespace prebake::hydrate {

/// Ranges of a file: runs as those of a ChunkSet, but of bytes. Only add(ChunkRun), add(ChunkSet),
/// subtract(), runs() and count() make sense; documents have them in the form of write_runs().
using FileRanges = ChunkSet;

/// What documents count in, whatever the page size of a machine is.
inline constexpr std::uint64_t kRangeUnit = 4096;

/// The limit of a range's end: larger than any file.
inline constexpr std::uint64_t kMaxFileBytes = 1ULL << 50;

/// The same with gaps of up to `gap` bytes filled.
FileRanges without_small_gaps(const FileRanges& ranges, std::uint64_t gap);

/// The same with at most `limit` runs: the smallest gaps are filled first, by powers of two.
FileRanges with_at_most(const FileRanges& ranges, std::size_t limit);

}  // namespace prebake::hydrate
