#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "agent/hydrate/probe.h"
#include "agent/hydrate/read_queue.h"

namespace prebake::hydrate {

/// Carries out the reads of a probe. They are all in flight at once: they are small, so that they
/// do not wait for each other, and together take as long as one. Only a second read that was not
/// faster is repeated a few times. The caller hands over what the queue returns, because other
/// reads may be in flight besides them.
class Prober {
  public:
    using Time = std::chrono::steady_clock::time_point;

    /// `next_tag`: what the next read has for a tag; shared with the other reads.
    Prober(ReadQueue& queue, int device, const ChunksToProbe& chunks, std::uint64_t& next_tag);

    /// Starts the first reads.
    void start(Time now);
    /// Starts those that show what the first ones have brought. A first read that has not ended
    /// counts as long as it took until now.
    void go_on(Time now);
    /// True if it was a read of this probe.
    bool take(const ReadDone& done);

    bool has_first() const { return waiting_first_ == 0; }
    bool has_second() const { return waiting_again_ == 0; }
    bool has_all() const { return waiting_rest_ == 0 && has_first() && has_second(); }
    const std::vector<ProbedChunk>& chunks() const { return chunks_; }
    ProbeVerdict verdict() const { return judge_probe(chunks_); }

  private:
    enum class Spot { start, again, middle, end, ahead };
    struct Waiting {
        std::size_t chunk = 0;
        Spot spot = Spot::start;
    };

    void submit(std::size_t chunk, Spot spot);
    void read(std::uint64_t offset, Waiting waiting);

    ReadQueue& queue_;
    int device_;
    std::uint64_t& next_tag_;
    std::vector<ProbedChunk> chunks_;
    std::vector<std::uint64_t> ahead_;
    std::map<std::uint64_t, Waiting> waiting_;
    std::map<std::size_t, unsigned> repeated_;  ///< second reads of a chunk that have ended
    std::size_t waiting_first_ = 0;
    std::size_t waiting_again_ = 0;
    std::size_t waiting_rest_ = 0;  ///< of the middle and the end
    Time started_{};
};

}  // namespace prebake::hydrate
