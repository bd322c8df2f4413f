#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "agent/hydrate/chunk_set.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// A part of a volume that is to be read.
struct PartWork {
    std::size_t volume = 0;  ///< which of the volumes
    std::size_t index = 0;   ///< which part of the volume
    v1::HydrationRank rank = v1::HYDRATION_RANK_UNSPECIFIED;
    ChunkSet chunks;
    /// So many chunks from its beginning were read before this run, or have failed.
    std::uint64_t done = 0;
    ChunkSet failed = {};  ///< those of them that have failed: they are tried again
};

/// A chunk to read now.
struct ChunkWork {
    std::size_t part = 0;        ///< which of the parts
    std::uint64_t position = 0;  ///< in the part, in disk order
    std::uint64_t chunk = 0;
    unsigned attempts = 0;        ///< that have failed
    bool is_from_before = false;  ///< failed in an earlier run

    auto operator<=>(const ChunkWork&) const = default;
};

/// The first `count` chunks of a set. Pure.
ChunkSet first_of(const ChunkSet& chunks, std::uint64_t count);

/// The chunks of all parts in the order of reading, and what happened to each. Pure.
class WorkList {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr unsigned kAttempts = 4;

    /// `parts` are in the order of reading.
    explicit WorkList(std::vector<PartWork> parts);

    /// The next one. What has failed comes again behind the other chunks of its part, if it is
    /// time.
    std::optional<ChunkWork> next(Time now);
    /// These parts come next, in this order: behind rank METADATA, and before what was promoted
    /// earlier. What was handed out stays so. Parts that are over are ignored.
    void promote(const std::vector<std::size_t>& parts);
    bool is_promoted(std::size_t part) const { return parts_[part].is_promoted; }
    /// What next() gave comes again, behind the other chunks of its part.
    void put_back(const ChunkWork& work);
    /// When next() has something again, if it has nothing now but will.
    std::optional<Time> next_retry() const;

    void done(const ChunkWork& work);
    /// It comes again later, up to kAttempts times.
    void failed(const ChunkWork& work, Time now);
    /// It does not come again.
    void give_up(const ChunkWork& work);
    /// What has not been handed out of this volume from chunk `end` on fails: it is not there.
    void drop(std::size_t volume, std::uint64_t end);

    /// Nothing is left, and nothing is in flight.
    bool is_over() const;

    std::size_t parts() const { return parts_.size(); }
    const PartWork& part(std::size_t index) const { return parts_[index].work; }
    /// How far it is without a gap: PartWork::done of the next run.
    std::uint64_t done_without_gap(std::size_t part) const;
    /// Chunks that were read, in this run and before.
    std::uint64_t read_chunks(std::size_t part) const { return parts_[part].read; }
    std::uint64_t total_chunks(std::size_t part) const { return parts_[part].total; }
    const ChunkSet& failed_chunks(std::size_t part) const { return parts_[part].given_up; }
    bool is_part_over(std::size_t part) const;

  private:
    struct Part {
        PartWork work;
        std::uint64_t total = 0;
        std::uint64_t read = 0;
        std::uint64_t next_position = 0;
        std::size_t run = 0;                ///< where next_position is
        std::uint64_t within = 0;           ///< in that run
        std::set<std::uint64_t> open = {};  ///< positions that were handed out and have not ended
        std::uint64_t open_from_before = 0;
        ChunkSet given_up = {};
        bool is_promoted = false;
        std::size_t place = 0;  ///< in order_
    };
    struct Retry {
        ChunkWork work;
        Time not_before;
    };

    std::optional<ChunkWork> fresh(std::size_t part);
    /// One that has failed, of the parts before the place `end`.
    std::optional<ChunkWork> due(Time now, std::size_t end);
    void close(const ChunkWork& work);

    std::vector<Part> parts_;
    std::vector<std::size_t> order_;  ///< of reading: indexes of parts
    std::size_t current_ = 0;         ///< in order_
    std::deque<Retry> retries_;
};

}  // namespace prebake::hydrate
