#include "agent/hydrate/probe.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "agent/base/format.h"

namespace prebake::hydrate {
namespace {

// What is in the disk's own memory comes much sooner than what it has to load.
constexpr double kMuchFaster = 3;
// Of a disk that no cloud's model names.
constexpr std::size_t kColdEnough = 3;
constexpr double kColdShare = 0.25;
constexpr std::size_t kTouchedEnough = 2;
// They are all read at once: most of them also wait for the bytes of others.
constexpr double kUndisturbed = 0.1;

std::uint64_t chunk_at(std::span<const ChunkSet> parts, std::uint64_t position) {
    for (const ChunkSet& part : parts) {
        for (const ChunkRun& run : part.runs()) {
            if (position < run.count) return run.first + position;
            position -= run.count;
        }
    }
    return 0;
}

Seconds quantile(std::vector<Seconds> times, double share) {
    if (times.empty()) return {};
    std::ranges::sort(times);
    return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
}

bool is_much_faster(const std::optional<Seconds>& now, Seconds before) {
    return now && *now * kMuchFaster <= before;
}

std::string milliseconds(Seconds time) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f ms", time.count() * 1000);
    return text.data();
}

std::string name_of(const Disk& disk) {
    switch (disk.kind) {
        case DiskKind::ebs:
            return "EBS volume";
        case DiskKind::gce:
            return "persistent disk of Google";
        case DiskKind::azure:
            return "managed disk of Azure";
        case DiskKind::instance_store:
            return "disk of the host";
        case DiskKind::other:
            break;
    }
    return "disk";
}

}  // namespace

ChunksToProbe chunks_to_probe(std::span<const ChunkSet> parts, std::size_t wanted) {
    std::uint64_t count = 0;
    for (const ChunkSet& part : parts) count += part.count();
    ChunksToProbe chunks;
    std::vector<std::uint64_t>& chosen = chunks.probed;
    const auto choose = [&](std::uint64_t position) {
        const std::uint64_t chunk = chunk_at(parts, position);
        if (std::ranges::find(chosen, chunk) == chosen.end()) chosen.push_back(chunk);
    };
    const std::uint64_t first = std::min<std::uint64_t>(count, (wanted + 1) / 2);
    for (std::uint64_t i = 0; i < first; ++i) choose(i);
    const std::uint64_t left = wanted - std::min<std::uint64_t>(wanted, first);
    for (std::uint64_t i = 0; i < left && count > first; ++i) {
        // In the middle of each of as many equal shares.
        choose(first + (count - first) * (2 * i + 1) / (2 * left));
    }
    for (std::uint64_t i = first; i < std::min(count, first + kTouchedAhead); ++i) {
        chunks.ahead.push_back(chunk_at(parts, i));
    }
    return chunks;
}

bool is_cold(const ProbedChunk& chunk) {
    return chunk.first && *chunk.first >= kColdRead;
}

bool is_much_faster_again(const ProbedChunk& chunk) {
    return chunk.first && is_much_faster(chunk.again, *chunk.first);
}

ProbeVerdict judge_probe(std::span<const ProbedChunk> chunks) {
    ProbeVerdict verdict;
    std::vector<Seconds> cold;
    std::vector<Seconds> warm;
    std::size_t confirmed = 0;
    std::size_t touched = 0;
    std::size_t brought = 0;
    for (const ProbedChunk& chunk : chunks) {
        if (!chunk.first) continue;
        ++verdict.probed;
        if (!is_cold(chunk)) {
            warm.push_back(*chunk.first);
            continue;
        }
        cold.push_back(*chunk.first);
        if (chunk.again) ++verdict.repeated;
        if (is_much_faster_again(chunk)) ++confirmed;
        if (!chunk.middle || !chunk.end) continue;
        ++touched;
        if (is_much_faster(chunk.middle, *chunk.first) && is_much_faster(chunk.end, *chunk.first)) {
            ++brought;
        }
    }
    verdict.cold = cold.size();
    verdict.is_confirmed = verdict.repeated > 0 && confirmed * 2 >= verdict.repeated;
    verdict.cold_read = quantile(std::move(cold), kUndisturbed);
    verdict.warm_read = quantile(std::move(warm), 0.5);
    if (touched >= kTouchedEnough) {
        verdict.touch = brought * 4 >= touched * 3 ? Touch::works : Touch::fails;
    }
    return verdict;
}

bool is_lazy_kind(DiskKind kind) {
    return kind == DiskKind::ebs || kind == DiskKind::gce || kind == DiskKind::azure;
}

LazyDecision decide_lazy(HydrateMode mode, const Disk& disk, const ProbeVerdict& verdict) {
    LazyDecision decision;
    const std::string samples = std::to_string(verdict.cold) + " of " +
                                counted(verdict.probed, "chunk") + " took " +
                                milliseconds(verdict.cold_read) + " and more";
    if (mode == HydrateMode::off) {
        decision.why = "hydrate.mode is \"off\"";
        return decision;
    }
    if (disk.kind == DiskKind::instance_store) {
        decision.why = "a disk of the host, which never loads lazily";
    } else if (verdict.cold == 0) {
        decision.why = verdict.probed == 0 ? "no chunk of it could be probed"
                                           : "the " + name_of(disk) +
                                                 " is warm: " + counted(verdict.probed, "chunk") +
                                                 " took " + milliseconds(verdict.warm_read);
    } else if (is_lazy_kind(disk.kind)) {
        decision.is_lazy = true;
        decision.why = "the " + name_of(disk) + " is cold: " + samples;
    } else if (disk.is_rotational) {
        decision.why = "a rotating disk, which is slow but does not load lazily";
    } else if (!verdict.is_confirmed) {
        decision.why =
            (verdict.repeated == 0 ? "the disk is slow: "
                                   : "the disk is slow, but at the second read as well: ") +
            samples;
    } else if (verdict.cold < std::min(kColdEnough, verdict.probed) ||
               static_cast<double>(verdict.cold) <
                   kColdShare * static_cast<double>(verdict.probed)) {
        decision.why = "the disk is warm, except for a few reads: " + samples;
    } else {
        decision.is_lazy = true;
        decision.why = "the disk is cold: " + samples;
    }
    decision.is_read = decision.is_lazy || mode == HydrateMode::on;
    return decision;
}

}  // namespace prebake::hydrate
