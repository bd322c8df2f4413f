#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace slow_disk {

inline constexpr std::uint64_t kBlockBytes = 4096;
inline constexpr std::uint64_t kChunkBytes = 512ULL << 10;
inline constexpr std::uint64_t kBlocksInChunk = kChunkBytes / kBlockBytes;

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

/// A part of the disk in bytes.
struct Range {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};

/// How the disk behaves. 0 means no limit, or no fault. Sizes are in bytes.
struct Settings {
    double latency_ms = 0;               ///< of a load
    std::uint64_t bandwidth = 0;         ///< bytes per second of all loads together
    std::uint64_t device_bandwidth = 0;  ///< bytes per second of all reads, warm ones too
    std::uint64_t device_iops = 0;       ///< reads per second, warm ones too
    /// A read loads the whole of its chunks; otherwise only the blocks that it reads.
    bool whole_chunks = true;
    /// Ranges that were never written need no load.
    bool free_holes = false;
    /// Loads of each chunk whose number + 1 is a multiple of it fail, ...
    std::uint64_t error_every = 0;
    /// ... so many times after a reset. 0: always.
    std::uint64_t error_tries = 0;
    /// The next load of this chunk takes `slow_seconds`. Negative: of no chunk.
    std::int64_t slow_chunk = -1;
    double slow_seconds = 0;
    std::uint64_t end = 0;  ///< accesses to bytes from here on fail, as after the disk shrank
    bool gone = false;      ///< everything fails
};

/// Sets the member that is named like `key`. @throws std::invalid_argument
void apply_setting(Settings& settings, const std::string& key, const std::string& value);

/// When a request is answered, and with which errno. 0: with success.
struct Answer {
    Time at;
    int error = 0;
};

/// Decides which parts of a disk are cold, and how long a read takes. It does no I/O. Blocks are
/// warm at first. Thread-safe.
class ColdModel {
  public:
    ColdModel(std::uint64_t size, Settings settings);

    /// A read that arrives now. It starts the loads that it needs; a read of a block that is being
    /// loaded waits for that load. Loads share the bandwidth in the order in which they start,
    /// their latencies overlap.
    Answer read(Range range, Time now);

    /// A write, after which its chunks (or its blocks, without whole_chunks) are warm.
    Answer write(Range range, Time now);

    /// Everything becomes cold, except for `holes` if free_holes is set; statistics begin at zero.
    void reset(const std::vector<Range>& holes, Time now);
    void make_warm();

    void set(const std::string& key, const std::string& value);
    Settings settings() const;

    /// A request was received, and one was answered: for the length of the queue.
    void begin();
    void end();

    /// JSON objects.
    std::string statistics() const;
    /// [[seconds since the reset, chunk, offset, size of the read], ...]: the first load of each
    /// chunk.
    std::string touched() const;

  private:
    struct Touch {
        double seconds = 0;
        std::uint64_t chunk = 0;
        Range range;
    };
    struct Counters {
        std::uint64_t reads = 0, bytes_read = 0, writes = 0, bytes_written = 0;
        std::uint64_t loads = 0, bytes_loaded = 0, errors = 0, waits = 0;
        std::uint64_t queue = 0, max_queue = 0;
    };

    bool is_out_of_reach(Range range) const;
    Answer load(std::uint64_t chunk, std::uint64_t first, std::uint64_t last, Range range,
                Time now);
    bool fails(std::uint64_t chunk);
    void touch(std::uint64_t chunk, Range range, Time now);

    mutable std::mutex mutex_;
    Settings settings_;
    std::vector<Time> warm_at_;     // by block; kCold
    std::vector<bool> is_touched_;  // by chunk
    std::vector<Touch> touches_;
    std::map<std::uint64_t, std::uint64_t> failures_;  // by chunk
    Counters counters_;
    Time loads_free_at_;   // until then, other loads use the bandwidth
    Time device_free_at_;  // until then, other reads do
    Time reset_at_;
};

}  // namespace slow_disk
