#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <google/protobuf/repeated_field.h>

/// Disks that load lazily: what is read of them, and reading it before it is needed.
namespace prebake::hydrate {

/// What such a disk loads at once: the unit of EBS snapshots. Offsets are of block devices.
inline constexpr std::uint64_t kChunkBytes = 512ULL << 10;

/// The chunks of a device of `bytes`; the last one may be a part of one.
constexpr std::uint64_t chunks_of_device(std::uint64_t bytes) {
    return bytes / kChunkBytes + (bytes % kChunkBytes == 0 ? 0 : 1);
}

/// Consecutive chunks.
struct ChunkRun {
    std::uint64_t first = 0;  ///< offset on the device / kChunkBytes
    std::uint64_t count = 0;

    bool operator==(const ChunkRun&) const = default;
};

/// Chunks of one block device, as runs in disk order. Adding in any order is cheap; what is read
/// back is sorted and merged.
class ChunkSet {
  public:
    /// The chunks with at least one byte of the range.
    void add_bytes(std::uint64_t offset, std::uint64_t length);
    void add(ChunkRun run);
    void add(const ChunkSet& other);
    /// Removes the chunks of `other`.
    void subtract(const ChunkSet& other);
    /// Removes all but the first `end` chunks of the device.
    void limit_to(std::uint64_t end);

    /// In disk order; neither overlapping nor adjacent.
    const std::vector<ChunkRun>& runs() const;
    std::uint64_t count() const;
    bool contains(std::uint64_t chunk) const;
    bool empty() const { return runs_.empty(); }

  private:
    mutable std::vector<ChunkRun> runs_;
    mutable bool is_merged_ = true;
};

using Numbers = google::protobuf::RepeatedField<std::uint64_t>;

/// The form of documents: pairs of the gap to the end of the run before and the number of chunks.
void write_runs(const ChunkSet& chunks, Numbers& runs);

/// Reads that form. @throws Error corrupt if the numbers are odd in number, a run is empty, or a
/// run ends after `end` chunks.
ChunkSet read_runs(const Numbers& runs, std::uint64_t end);

}  // namespace prebake::hydrate
