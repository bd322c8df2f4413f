#include "agent/hydrate/chunk_set.h"

#include <algorithm>
#include <string>

#include "agent/base/error.h"

namespace prebake::hydrate {

void ChunkSet::add_bytes(std::uint64_t offset, std::uint64_t length) {
    if (length == 0) return;
    const std::uint64_t first = offset / kChunkBytes;
    add({.first = first, .count = (offset + length - 1) / kChunkBytes - first + 1});
}

void ChunkSet::add(ChunkRun run) {
    if (run.count == 0) return;
    if (!runs_.empty() && is_merged_) {
        ChunkRun& last = runs_.back();
        const std::uint64_t end = last.first + last.count;
        if (run.first >= last.first && run.first <= end) {
            last.count = std::max(end, run.first + run.count) - last.first;
            return;
        }
        is_merged_ = run.first > end;
    }
    runs_.push_back(run);
}

void ChunkSet::add(const ChunkSet& other) {
    if (&other == this) return;
    for (const ChunkRun& run : other.runs()) add(run);
}

void ChunkSet::subtract(const ChunkSet& other) {
    std::vector<ChunkRun> left;
    auto taken = other.runs().begin();
    const auto end = other.runs().end();
    for (ChunkRun run : runs()) {
        while (taken != end && taken->first + taken->count <= run.first) ++taken;
        for (auto hole = taken; hole != end && hole->first < run.first + run.count; ++hole) {
            if (hole->first > run.first) left.push_back({run.first, hole->first - run.first});
            const std::uint64_t next = std::min(run.first + run.count, hole->first + hole->count);
            run.count -= next - run.first;
            run.first = next;
        }
        if (run.count > 0) left.push_back(run);
    }
    runs_ = std::move(left);
}

void ChunkSet::limit_to(std::uint64_t end) {
    std::erase_if(runs_, [end](const ChunkRun& run) { return run.first >= end; });
    for (ChunkRun& run : runs_) run.count = std::min(run.count, end - run.first);
}

const std::vector<ChunkRun>& ChunkSet::runs() const {
    if (is_merged_) return runs_;
    std::ranges::sort(runs_, {}, &ChunkRun::first);
    std::vector<ChunkRun> merged;
    for (const ChunkRun& run : runs_) {
        if (!merged.empty() && run.first <= merged.back().first + merged.back().count) {
            ChunkRun& last = merged.back();
            last.count = std::max(last.first + last.count, run.first + run.count) - last.first;
        } else {
            merged.push_back(run);
        }
    }
    runs_ = std::move(merged);
    is_merged_ = true;
    return runs_;
}

std::uint64_t ChunkSet::count() const {
    std::uint64_t count = 0;
    for (const ChunkRun& run : runs()) count += run.count;
    return count;
}

bool ChunkSet::contains(std::uint64_t chunk) const {
    const std::vector<ChunkRun>& all = runs();
    const auto after = std::ranges::upper_bound(all, chunk, {}, &ChunkRun::first);
    return after != all.begin() && chunk - std::prev(after)->first < std::prev(after)->count;
}

void write_runs(const ChunkSet& chunks, Numbers& runs) {
    std::uint64_t end = 0;
    for (const ChunkRun& run : chunks.runs()) {
        runs.Add(run.first - end);
        runs.Add(run.count);
        end = run.first + run.count;
    }
}

ChunkSet read_runs(const Numbers& runs, std::uint64_t end) {
    if (runs.size() % 2 != 0) throw Error(Errc::corrupt, "a run of chunks has no length");
    ChunkSet chunks;
    std::uint64_t at = 0;
    for (int i = 0; i < runs.size(); i += 2) {
        const std::uint64_t gap = runs.Get(i);
        const std::uint64_t count = runs.Get(i + 1);
        if (count == 0) throw Error(Errc::corrupt, "a run of chunks is empty");
        if (gap > end - at || count > end - at - gap) {
            throw Error(Errc::corrupt, "a run of chunks ends after chunk " + std::to_string(end) +
                                           ", where the device ends");
        }
        chunks.add({.first = at + gap, .count = count});
        at += gap + count;
    }
    return chunks;
}

}  // namespace prebake::hydrate
