#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <vector>

#include "agent/hydrate/depth.h"
#include "agent/hydrate/read_queue.h"
#include "agent/hydrate/starting_images.h"
#include "agent/hydrate/volume_reading.h"
#include "agent/hydrate/work_list.h"
#include "agent/hydrate/yielding.h"

namespace prebake::hydrate {

struct BlockLimits {
    unsigned depth = 64;     ///< reads in flight
    std::uint64_t rate = 0;  ///< bytes a second; 0: no limit
    bool yields = true;      ///< steps aside for others
    /// A read that takes longer has failed. It is left behind: nothing can end it.
    std::chrono::milliseconds read_limit{90'000};
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

/// How it is, while it goes on.
struct BlockProgress {
    double bytes_per_second = 0;  ///< of what becomes warm
    unsigned depth = 0;
    std::uint64_t yields = 0;
    std::vector<StartingImage> promoted = {};  ///< that were read before their turn, as they came
};

enum class ReadingEnd { all, deadline, stopped };

/// The disks that the volumes are on.
std::vector<dev_t> disks_of(const std::vector<VolumeReading>& volumes);

/// What is to be read of the volumes, in the order of the ranks, and of the volumes within each.
std::vector<PartWork> work_of(const std::vector<VolumeReading>& volumes);

/// What is left to read of each part of a volume, and what has failed before.
std::vector<ChunkSet> chunks_left(const VolumeReading& volume);

/// Reads the log page of an EBS volume, with which later ones are compared.
void begin_log(VolumeReading& volume);

/// What happens beside the reading.
struct Surroundings {
    ForegroundWatch watch;
    ImageDirectories images;
    StartingContainers starting = StartingContainers();
};

/// Reads the chunks of a list from their block devices, many at a time.
class BlockReading {
  public:
    using Time = std::chrono::steady_clock::time_point;

    /// Everything is used until the end of this object.
    BlockReading(std::vector<VolumeReading>& volumes, WorkList& work, ReadQueue& queue,
                 std::uint64_t& next_tag, Surroundings& surroundings, BlockLimits limits);

    /// Calls `on_tick` ten times a second. Failed reads are in the list. @throws Error io if the
    /// queue fails.
    ReadingEnd run(const std::stop_token& stop, const std::function<void()>& on_tick);

    const BlockProgress& progress() const { return progress_; }

  private:
    struct InFlight {
        ChunkWork work;
        Time started;
        std::size_t bytes = 0;
        bool is_touch = false;
        bool is_late = false;  ///< it does not count as one of those in flight any more
    };

    std::chrono::nanoseconds fill(Time now);
    unsigned allowed(const ChunkWork& work);
    void submit(const ChunkWork& work, Time now);
    void take(const ReadDone& done, Time now);
    void take_failure(const InFlight& read, const ReadDone& done, Time now);
    void take_probe(VolumeReading& volume, Time now);
    void look_at_late_reads(Time now);
    void look_for_containers(Time now);
    void read_first(const std::vector<StartingImage>& images);
    void sample(Time now);
    void sample_log(VolumeReading& volume);
    void note_peak(VolumeReading& volume, Time now);
    VolumeReading& volume_of(const ChunkWork& work);
    std::size_t index_of(const ChunkWork& work) const { return work_.part(work.part).volume; }

    std::vector<VolumeReading>& volumes_;
    WorkList& work_;
    ReadQueue& queue_;
    std::uint64_t& next_tag_;
    BlockLimits limits_;
    RateLimit rate_;
    Surroundings& surroundings_;
    Foreground foreground_;
    std::map<std::uint64_t, InFlight> reads_;
    std::optional<ChunkWork> held_;  ///< the next one, for which there was no room yet
    BlockProgress progress_;
    std::uint64_t own_bytes_ = 0;  ///< that we have read of the disks
    std::uint64_t warm_chunks_ = 0;
    std::uint64_t last_warm_ = 0;
    Time last_sample_{};
    Time last_second_{};
    std::map<const VolumeReading*, std::uint64_t> chunks_before_;  ///< at last_second_
    Time probes_due_{};
    bool has_yielded_ = false;
};

}  // namespace prebake::hydrate
