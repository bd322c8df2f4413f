#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/hydrate/chunk_set.h"
#include "agent/hydrate/disk.h"

/// Whether a disk loads lazily, by a few small reads of chunks that are to be read anyway. Pure.
namespace prebake::hydrate {

using Seconds = std::chrono::duration<double>;

/// A chunk of the probe, and how long 4 KiB of it took.
struct ProbedChunk {
    std::uint64_t chunk = 0;
    std::optional<Seconds> first = {};   ///< its start
    std::optional<Seconds> again = {};   ///< its start, read again: the fastest
    std::optional<Seconds> middle = {};  ///< then the middle, and the end
    std::optional<Seconds> end = {};
};

/// Whether a small read brings its whole chunk.
enum class Touch { unknown, works, fails };

struct ProbeVerdict {
    std::size_t probed = 0;
    std::size_t cold = 0;       ///< how many of them were slow at the first read
    std::size_t repeated = 0;   ///< how many of these were read again
    bool is_confirmed = false;  ///< most of these were fast at the second read
    Seconds cold_read{};        ///< of a cold chunk, if nothing else is read: nearly the fastest
    Seconds warm_read{};        ///< of the others: the median
    Touch touch = Touch::unknown;
};

inline constexpr std::size_t kProbedChunks = 12;
/// No disk that is warm and not busy takes that long; log pages and people see 30 ms and more.
inline constexpr Seconds kColdRead{0.008};

struct ChunksToProbe {
    /// Half of them are the first ones to be read, and the others are spread over all, because what
    /// is read first at boot may have been read before us.
    std::vector<std::uint64_t> probed;
    /// The next ones to be read. If small reads bring whole chunks, these are there when the probe
    /// has ended; otherwise they cost nothing.
    std::vector<std::uint64_t> ahead;
};

inline constexpr std::size_t kTouchedAhead = 8;

/// `parts` are in the order of reading.
ChunksToProbe chunks_to_probe(std::span<const ChunkSet> parts, std::size_t wanted = kProbedChunks);

bool is_cold(const ProbedChunk& chunk);
/// True if the second read shows that the first one had to load the chunk.
bool is_much_faster_again(const ProbedChunk& chunk);
ProbeVerdict judge_probe(std::span<const ProbedChunk> chunks);

enum class HydrateMode { automatic, on, off };

struct LazyDecision {
    bool is_lazy = false;
    bool is_read = false;  ///< it is lazy, or the configuration says so
    std::string why;       ///< "an EBS volume, and 12 of 16 chunks took 35 ms"
};

LazyDecision decide_lazy(HydrateMode mode, const Disk& disk, const ProbeVerdict& verdict);

/// True if the kind of disk alone is a reason to believe one cold read, which need not be
/// confirmed.
bool is_lazy_kind(DiskKind kind);

}  // namespace prebake::hydrate
