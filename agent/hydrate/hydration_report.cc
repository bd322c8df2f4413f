#include "agent/hydrate/hydration_report.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "agent/base/format.h"
#include "agent/hydrate/finished_work.h"

namespace prebake::hydrate {
namespace {

// What the kernel reads ahead for one reader, if nobody has changed it.
constexpr double kReadAheadBytes = 128.0 * 1024;

std::string rate_text(double bytes_per_second) {
    return format_bytes(static_cast<std::uint64_t>(std::llround(bytes_per_second))) + "/s";
}

v1::HydratedRank& rank_in(v1::Hydration& document, v1::HydrationRank rank) {
    for (v1::HydratedRank& known : *document.mutable_ranks()) {
        if (known.rank() == rank) return known;
    }
    v1::HydratedRank& added = *document.add_ranks();
    added.set_rank(rank);
    return added;
}

}  // namespace

std::string rank_word(v1::HydrationRank rank) {
    if (rank == v1::METADATA) return "metadata";
    if (rank == v1::TRACED) return "traced";
    if (rank == v1::IMAGES) return "images";
    return rank == v1::BOOT ? "boot" : "rest";
}

v1::HydratedVolume volume_document(const VolumeToRead& planned, const Disk& disk) {
    v1::HydratedVolume document;
    document.set_uuid(planned.uuid);
    document.set_device(planned.device.string());
    document.set_serial(disk.serial);
    document.set_model(disk.model);
    document.set_kind(std::string(to_string(disk.kind)));
    return document;
}

void describe_volume(const VolumeReading& volume, v1::HydratedVolume& document) {
    document.set_lazy(volume.decision.is_lazy);
    document.set_why(volume.decision.why);
    const double cold = volume.verdict.cold_read.count();
    document.set_cold_seconds(cold);
    if (cold > 0) {
        // Where a small read brings its chunk, a reader gets the rest of it at once.
        const double bytes =
            volume.touch == Touch::works ? static_cast<double>(kChunkBytes) : kReadAheadBytes;
        document.set_depth_1_bytes_per_second(bytes / cold);
    }
    document.set_peak_bytes_per_second(volume.peak_rate);
    document.set_peak_depth(volume.peak_depth);
    document.set_cold_reads(volume.activity.cold_reads);
    document.set_throttled_microseconds(volume.activity.throttled);
}

std::vector<v1::HydrationRank> update_ranks(const WorkList& work, double seconds,
                                            v1::Hydration& document) {
    struct Sum {
        std::uint64_t read = 0;
        std::uint64_t total = 0;
        bool is_over = true;
    };
    std::map<v1::HydrationRank, Sum> sums;
    for (std::size_t i = 0; i < work.parts(); ++i) {
        Sum& sum = sums[work.part(i).rank];
        sum.read += work.read_chunks(i);
        sum.total += work.total_chunks(i);
        sum.is_over = sum.is_over && work.is_part_over(i);
    }
    std::vector<v1::HydrationRank> over;
    for (const auto& [rank, sum] : sums) {
        v1::HydratedRank& entry = rank_in(document, rank);
        entry.set_bytes(sum.read * kChunkBytes);
        entry.set_total_bytes(sum.total * kChunkBytes);
        if (!sum.is_over || entry.seconds() > 0) continue;
        entry.set_seconds(seconds);
        over.push_back(rank);
    }
    return over;
}

void update_volumes(const WorkList& work, const std::vector<VolumeReading>& volumes,
                    std::vector<v1::HydratedVolume*> documents) {
    std::vector<ChunkSet> failed(volumes.size());
    std::vector<bool> is_over(volumes.size(), true);
    for (std::size_t i = 0; i < volumes.size(); ++i) {
        documents[i]->clear_done_chunks();
        for (const std::uint64_t done : volumes[i].done) documents[i]->add_done_chunks(done);
    }
    for (std::size_t i = 0; i < work.parts(); ++i) {
        const PartWork& part = work.part(i);
        documents[part.volume]->set_done_chunks(static_cast<int>(part.index),
                                                work.done_without_gap(i));
        failed[part.volume].add(work.failed_chunks(i));
        if (!work.is_part_over(i)) is_over[part.volume] = false;
    }
    for (std::size_t i = 0; i < volumes.size(); ++i) {
        if (!volumes[i].decision.is_read) {
            documents[i]->set_finished(volumes[i].is_finished_before);
            continue;
        }
        set_failed(failed[i], *documents[i]);
        documents[i]->set_finished(is_over[i]);
    }
}

void add_finished_ranks(const VolumeToRead& volume, v1::Hydration& document) {
    for (const PartToRead& part : volume.parts) {
        const std::uint64_t bytes = part.chunks.count() * kChunkBytes;
        v1::HydratedRank& entry = rank_in(document, part.rank);
        entry.set_bytes(entry.bytes() + bytes);
        entry.set_total_bytes(entry.total_bytes() + bytes);
    }
}

bool is_traced_done(const WorkList& work) {
    for (std::size_t i = 0; i < work.parts(); ++i) {
        const v1::HydrationRank rank = work.part(i).rank;
        if ((rank == v1::METADATA || rank == v1::TRACED) && !work.is_part_over(i)) return false;
    }
    return true;
}

std::string summary_of(const v1::Hydration& document) {
    std::string text;
    const v1::HydratedVolume* slowest = nullptr;
    for (const v1::HydratedVolume& volume : document.volumes()) {
        if (volume.cold_seconds() <= 0) continue;
        if (slowest == nullptr || volume.cold_seconds() > slowest->cold_seconds()) {
            slowest = &volume;
        }
    }
    if (slowest != nullptr) {
        text = "cold: " + rate_text(slowest->depth_1_bytes_per_second()) + " at depth 1";
        if (slowest->peak_depth() > 0) {
            text += ", " + rate_text(slowest->peak_bytes_per_second()) + " at " +
                    std::to_string(slowest->peak_depth());
        }
        text += "; ";
    }
    std::uint64_t hot = 0;
    std::uint64_t all = 0;
    double hot_seconds = 0;
    double all_seconds = 0;
    for (const v1::HydratedRank& rank : document.ranks()) {
        all += rank.bytes();
        all_seconds = std::max(all_seconds, rank.seconds());
        if (rank.rank() != v1::METADATA && rank.rank() != v1::TRACED) continue;
        hot += rank.bytes();
        hot_seconds = std::max(hot_seconds, rank.seconds());
    }
    if (hot > 0 && hot_seconds > 0) {
        text += "hot " + format_bytes(hot) + " in " +
                format_duration(std::chrono::duration<double>(hot_seconds)) + "; ";
    }
    return text + "all " + format_bytes(all) + " in " +
           format_duration(std::chrono::duration<double>(all_seconds));
}

std::string promotion_note(const StartingImage& image) {
    return "reading " + image.name + " first: a container " +
           (image.is_its_own ? "of it is starting" : "with layers of it is starting");
}

std::string rank_summary(const v1::Hydration& document, v1::HydrationRank rank) {
    double before = 0;
    for (const v1::HydratedRank& entry : document.ranks()) {
        if (entry.rank() != rank) {
            before = std::max(before, entry.rank() < rank ? entry.seconds() : 0);
            continue;
        }
        const double seconds = std::max(entry.seconds() - before, 0.001);
        return rank_word(rank) + ": " + format_bytes(entry.bytes()) + " in " +
               format_duration(std::chrono::duration<double>(seconds)) + ", " +
               rate_text(static_cast<double>(entry.bytes()) / seconds);
    }
    return rank_word(rank);
}

}  // namespace prebake::hydrate
