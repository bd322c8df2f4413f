#include "agent/hydrate/block_reading.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/hydrate/disk.h"

namespace prebake::hydrate {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kSecond{1};
// A read that takes so long makes room for another one.
constexpr std::chrono::seconds kLate{5};
// What the probe has not found out by then is taken as it is.
constexpr std::chrono::seconds kProbeLimit{2};
// Of the volume's own limit, within a second: it is what keeps us from being faster.
constexpr std::uint64_t kThrottledMicroseconds = 200'000;
constexpr double kRateWeight = 0.3;
// Then nobody is helped by the other ones, each of which may take the timeout of the device.
constexpr unsigned kFailuresInARow = 256;

}  // namespace

std::vector<dev_t> disks_of(const std::vector<VolumeReading>& volumes) {
    std::vector<dev_t> disks;
    for (const VolumeReading& volume : volumes) {
        const dev_t disk = volume.disk.number != 0 ? volume.disk.number : volume.planned.number;
        if (std::ranges::find(disks, disk) == disks.end()) disks.push_back(disk);
    }
    return disks;
}

std::vector<PartWork> work_of(const std::vector<VolumeReading>& volumes) {
    std::vector<PartWork> parts;
    for (std::size_t i = 0; i < volumes.size(); ++i) {
        const VolumeReading& volume = volumes[i];
        if (!volume.decision.is_read) continue;
        for (std::size_t k = 0; k < volume.planned.parts.size(); ++k) {
            const PartToRead& part = volume.planned.parts[k];
            parts.push_back({.volume = i,
                             .index = k,
                             .rank = part.rank,
                             .chunks = part.chunks,
                             .done = volume.done[k],
                             .failed = volume.failed_before});
        }
    }
    std::ranges::stable_sort(parts, {}, &PartWork::rank);
    return parts;
}

std::vector<ChunkSet> chunks_left(const VolumeReading& volume) {
    std::vector<ChunkSet> left;
    for (std::size_t i = 0; i < volume.planned.parts.size(); ++i) {
        ChunkSet rest = volume.planned.parts[i].chunks;
        rest.subtract(first_of(rest, volume.done[i]));
        left.push_back(std::move(rest));
    }
    left.push_back(volume.failed_before);
    return left;
}

void begin_log(VolumeReading& volume) {
    if (volume.disk.kind != DiskKind::ebs) return;
    try {
        volume.first_log = read_ebs_log(volume.device.get(), volume.planned.device.string());
    } catch (const Error&) {
        // Without CAP_SYS_ADMIN, or of device mapper: the rate alone decides about the depth.
    }
}

BlockReading::BlockReading(std::vector<VolumeReading>& volumes, WorkList& work, ReadQueue& queue,
                           std::uint64_t& next_tag, Surroundings& surroundings, BlockLimits limits)
    : volumes_(volumes),
      work_(work),
      queue_(queue),
      next_tag_(next_tag),
      limits_(limits),
      rate_(limits.rate),
      surroundings_(surroundings) {}

ReadingEnd BlockReading::run(const std::stop_token& stop, const std::function<void()>& on_tick) {
    Time now = std::chrono::steady_clock::now();
    last_sample_ = now;
    last_second_ = now;
    probes_due_ = now + kProbeLimit;
    Time next_tick = now + kTick;
    while (!work_.is_over()) {
        if (stop.stop_requested()) return ReadingEnd::stopped;
        if (now >= limits_.deadline) return ReadingEnd::deadline;
        const std::chrono::nanoseconds pause = fill(now);
        const std::chrono::nanoseconds until_tick =
            std::max<std::chrono::nanoseconds>(next_tick - now, std::chrono::nanoseconds(1));
        auto done = queue_.wait(std::min(pause, until_tick));
        now = std::chrono::steady_clock::now();
        // All that have ended, before new ones start: the queue says how many there may be.
        for (; done; done = queue_.wait(std::chrono::nanoseconds(0))) take(*done, now);
        if (now < next_tick) continue;
        next_tick = now + kTick;
        sample(now);
        look_at_late_reads(now);
        on_tick();
    }
    // It may have taken less than a second.
    for (VolumeReading& volume : volumes_) {
        if (volume.peak_rate <= 0) note_peak(volume, now);
    }
    return ReadingEnd::all;
}

VolumeReading& BlockReading::volume_of(const ChunkWork& work) {
    return volumes_[index_of(work)];
}

unsigned BlockReading::allowed(const ChunkWork& work) {
    const unsigned depth = volume_of(work).control.depth();
    if (!limits_.yields) return depth;
    // A container that is starting waits for what was promoted.
    const bool is_awaited = work_.is_promoted(work.part);
    return yielded_depth(depth, is_awaited ? v1::TRACED : work_.part(work.part).rank, foreground_);
}

/// Starts reads as long as there is room. Returns how long it is certain that nothing starts.
std::chrono::nanoseconds BlockReading::fill(Time now) {
    for (;;) {
        if (!held_) held_ = work_.next(now);
        if (!held_) {
            const auto retry = work_.next_retry();
            if (!retry) return kTick;
            return std::clamp<std::chrono::nanoseconds>(*retry - now, std::chrono::nanoseconds(1),
                                                        kTick);
        }
        VolumeReading& volume = volume_of(*held_);
        if (!volume.trouble.empty()) {
            work_.give_up(*std::exchange(held_, std::nullopt));
            continue;
        }
        const unsigned room = allowed(*held_);
        if (room < volume.control.depth() && !has_yielded_) {
            has_yielded_ = true;
            ++progress_.yields;
        } else if (room >= volume.control.depth()) {
            has_yielded_ = false;
        }
        if (volume.in_flight >= room) {
            if (has_yielded_) volume.control.restart_measurement();
            return kTick;
        }
        const std::chrono::nanoseconds delay = rate_.delay(now);
        if (delay.count() > 0) {
            volume.control.restart_measurement();
            return delay;
        }
        submit(*std::exchange(held_, std::nullopt), now);
    }
}

void BlockReading::submit(const ChunkWork& work, Time now) {
    VolumeReading& volume = volume_of(work);
    const std::uint64_t offset = work.chunk * kChunkBytes;
    InFlight read{.work = work, .started = now, .is_touch = volume.touch == Touch::works};
    const std::uint64_t left = volume.bytes > offset ? volume.bytes - offset : 0;
    read.bytes = std::min<std::uint64_t>(read.is_touch ? kReadAlignment : kMaxReadBytes, left);
    // A device may end anywhere, but is read in whole blocks; the rest is not there.
    read.bytes -= read.bytes % kReadAlignment;
    if (read.bytes == 0) return left > 0 ? work_.done(work) : work_.give_up(work);
    const std::uint64_t tag = next_tag_++;
    queue_.submit(volume.device.get(), offset, read.bytes, tag);
    rate_.take(kChunkBytes);
    ++volume.in_flight;
    reads_.emplace(tag, read);
}

void BlockReading::take(const ReadDone& done, Time now) {
    for (VolumeReading& volume : volumes_) {
        if (!volume.prober || !volume.prober->take(done)) continue;
        own_bytes_ += done.bytes;
        return take_probe(volume, now);
    }
    const auto found = reads_.extract(done.tag);
    if (found.empty()) return;  // given up before
    const InFlight& read = found.mapped();
    VolumeReading& volume = volume_of(read.work);
    if (!read.is_late) --volume.in_flight;
    own_bytes_ += done.bytes;
    if (done.error != 0 || done.bytes < read.bytes) return take_failure(read, done, now);
    ++warm_chunks_;
    volume.failures = 0;
    ++volume.chunks;
    work_.done(read.work);
    if (!read.is_late) volume.control.on_done(now, done.latency);
}

void BlockReading::take_failure(const InFlight& read, const ReadDone& done, Time now) {
    VolumeReading& volume = volume_of(read.work);
    if (!read.is_late) volume.control.on_error();
    const std::uint64_t bytes = bytes_of_open_device(volume.device.get()).value_or(0);
    const std::string name = volume.planned.device.string();
    if (bytes == 0 || done.error == ENXIO || done.error == ENODEV) {
        if (volume.trouble.empty()) volume.trouble = name + " has vanished";
        work_.drop(index_of(read.work), 0);
        return work_.give_up(read.work);
    }
    if (bytes < volume.bytes) {
        volume.bytes = bytes;
        volume.shrunk = name + " is smaller now: it ends after " + std::to_string(bytes) + " bytes";
        work_.drop(index_of(read.work), bytes / kChunkBytes);
    }
    if (++volume.failures >= kFailuresInARow && volume.trouble.empty()) {
        volume.trouble =
            std::to_string(volume.failures) + " reads of " + name +
            " failed one after the other: " + std::generic_category().message(done.error);
        work_.drop(index_of(read.work), 0);
    }
    if (read.work.chunk >= bytes / kChunkBytes) return work_.give_up(read.work);
    work_.failed(read.work, now);
}

void BlockReading::take_probe(VolumeReading& volume, Time now) {
    if (volume.touch != Touch::unknown) return;
    if (!volume.prober->has_all() && now < probes_due_) return;
    volume.verdict = volume.prober->verdict();
    // Reading has begun, whatever it says.
    const bool is_read = volume.decision.is_read;
    volume.decision = decide_lazy(volume.mode, volume.disk, volume.verdict);
    volume.decision.is_read = is_read;
    // A chunk of the snapshot must be a chunk of the device, or 4 KiB may touch one of two.
    const bool is_aligned = volume.disk.start && *volume.disk.start % kChunkBytes == 0;
    volume.touch = volume.verdict.touch;
    if (volume.touch != Touch::works || !is_aligned) volume.touch = Touch::fails;
}

/// Reads that take far too long: others take their place, and in the end they have failed.
void BlockReading::look_at_late_reads(Time now) {
    for (auto read = reads_.begin(); read != reads_.end();) {
        InFlight& late = read->second;
        const auto age = now - late.started;
        VolumeReading& volume = volume_of(late.work);
        if (age >= kLate && !late.is_late) {
            late.is_late = true;
            --volume.in_flight;
            volume.control.on_error();
        }
        if (age < limits_.read_limit) {
            ++read;
            continue;
        }
        work_.give_up(late.work);
        read = reads_.erase(read);
    }
}

void BlockReading::sample(Time now) {
    const double seconds = std::chrono::duration<double>(now - last_sample_).count();
    if (seconds > 0) {
        const double rate =
            static_cast<double>((warm_chunks_ - last_warm_) * kChunkBytes) / seconds;
        progress_.bytes_per_second += kRateWeight * (rate - progress_.bytes_per_second);
    }
    last_sample_ = now;
    last_warm_ = warm_chunks_;
    foreground_ = surroundings_.watch.sample(now, own_bytes_);
    look_for_containers(now);
    progress_.depth = 0;
    for (VolumeReading& volume : volumes_) {
        progress_.depth += volume.in_flight;
        if (volume.prober && now >= probes_due_) take_probe(volume, now);
    }
    if (now - last_second_ < kSecond) return;
    for (VolumeReading& volume : volumes_) {
        sample_log(volume);
        note_peak(volume, now);
    }
    last_second_ = now;
}

void BlockReading::look_for_containers(Time now) {
    StartingContainers& starting = surroundings_.starting;
    for (const auto& directory : surroundings_.watch.take_created()) starting.add(directory, now);
    for (const auto& lowers : starting.take_mounted(now, surroundings_.images)) {
        read_first(surroundings_.images.images_with(lowers));
    }
}

void BlockReading::read_first(const std::vector<StartingImage>& images) {
    if (images.empty()) return;
    std::vector<const VolumeToRead*> volumes;
    for (const VolumeReading& volume : volumes_) volumes.push_back(&volume.planned);
    for (const StartingImage& image : images) {
        const auto parts = parts_of({image}, work_, volumes);
        const bool is_news = std::ranges::any_of(parts, [&](std::size_t part) {
            return !work_.is_part_over(part) && !work_.is_promoted(part);
        });
        if (is_news) progress_.promoted.push_back(image);
    }
    work_.promote(parts_of(images, work_, volumes));
    // It would be read before them, or hold them up.
    if (held_ && !work_.is_promoted(held_->part) && work_.part(held_->part).rank != v1::METADATA) {
        work_.put_back(*std::exchange(held_, std::nullopt));
    }
}

void BlockReading::note_peak(VolumeReading& volume, Time now) {
    const double seconds = std::chrono::duration<double>(now - last_second_).count();
    std::uint64_t& before = chunks_before_[&volume];
    const double rate = static_cast<double>((volume.chunks - before) * kChunkBytes) / seconds;
    before = volume.chunks;
    if (seconds <= 0 || rate <= volume.peak_rate) return;
    volume.peak_rate = rate;
    volume.peak_depth = volume.control.depth();
}

void BlockReading::sample_log(VolumeReading& volume) {
    if (!volume.first_log) return;
    try {
        const EbsLog log = read_ebs_log(volume.device.get(), volume.planned.device.string());
        const EbsActivity before = volume.activity;
        volume.activity = ebs_activity(*volume.first_log, log);
        volume.control.set_throttled(volume.activity.throttled >=
                                     before.throttled + kThrottledMicroseconds);
    } catch (const Error&) {
        volume.first_log.reset();  // it was there before; without it the rate decides
    }
}

}  // namespace prebake::hydrate
