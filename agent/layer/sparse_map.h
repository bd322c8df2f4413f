#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "agent/layer/pax_records.h"

namespace prebake::layer {

/// A run of a sparse file that has data in the archive; everything else is a hole.
struct SparseRun {
    std::int64_t offset = 0;
    std::int64_t length = 0;
    bool operator==(const SparseRun&) const = default;
};

using SparseMap = std::vector<SparseRun>;

/// Limit of a map's text. It is Go's (since 1.24.8 and 1.25.2; before, there was none).
inline constexpr std::size_t kMaxSparseMapBytes = 1 << 20;

/// Reads the next block (512 bytes). @throws Error corrupt at the end of what may be read.
using ReadBlock = std::function<std::string_view()>;

/// Formats 0.0 and 0.1 of GNU tar: the map is in PAX records. @throws Error corrupt.
SparseMap sparse_map_of(const PaxRecords& records);

/// Format 1.0: the map is in front of the contents. @throws Error corrupt.
SparseMap read_sparse_map(const ReadBlock& next_contents);

/// The old format of GNU tar: the map is in the header and in blocks behind it. @throws Error
/// corrupt.
SparseMap read_old_sparse_map(std::string_view header, const ReadBlock& next_block);

/// True if the runs are in order, do not overlap and lie within a file of `size` bytes.
bool is_valid(const SparseMap& map, std::int64_t size);

/// Bytes of all runs of a valid map.
std::int64_t data_size(const SparseMap& map);

}  // namespace prebake::layer
