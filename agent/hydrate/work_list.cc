#include "agent/hydrate/work_list.h"

#include <algorithm>
#include <utility>

namespace prebake::hydrate {
namespace {

constexpr std::chrono::milliseconds kFirstRetry{200};

}  // namespace

ChunkSet first_of(const ChunkSet& chunks, std::uint64_t count) {
    ChunkSet first;
    for (const ChunkRun& run : chunks.runs()) {
        const std::uint64_t taken = std::min(count, run.count);
        first.add({.first = run.first, .count = taken});
        count -= taken;
    }
    return first;
}

WorkList::WorkList(std::vector<PartWork> parts) {
    for (PartWork& work : parts) {
        Part part{.work = std::move(work)};
        part.total = part.work.chunks.count();
        const std::uint64_t done = std::min(part.work.done, part.total);
        part.next_position = done;
        std::uint64_t skip = done;
        const std::vector<ChunkRun>& runs = part.work.chunks.runs();
        while (part.run < runs.size() && skip >= runs[part.run].count)
            skip -= runs[part.run++].count;
        part.within = skip;
        const ChunkSet before = first_of(part.work.chunks, done);
        std::uint64_t again = 0;
        for (const ChunkRun& run : part.work.failed.runs()) {
            for (std::uint64_t i = 0; i < run.count; ++i) {
                if (!before.contains(run.first + i)) continue;
                ++again;
                retries_.push_back({.work = {.part = parts_.size(),
                                             .chunk = run.first + i,
                                             .is_from_before = true},
                                    .not_before = {}});
            }
        }
        part.open_from_before = again;
        part.read = done - again;
        part.place = parts_.size();
        order_.push_back(parts_.size());
        parts_.push_back(std::move(part));
    }
}

std::optional<ChunkWork> WorkList::next(Time now) {
    for (; current_ < parts_.size(); ++current_) {
        if (auto work = due(now, current_)) return work;
        if (auto work = fresh(order_[current_])) return work;
    }
    return due(now, parts_.size());
}

std::optional<ChunkWork> WorkList::due(Time now, std::size_t end) {
    const auto found = std::ranges::find_if(retries_, [&](const Retry& retry) {
        return parts_[retry.work.part].place < end && retry.not_before <= now;
    });
    if (found == retries_.end()) return std::nullopt;
    const ChunkWork work = found->work;
    retries_.erase(found);
    return work;
}

std::optional<ChunkWork> WorkList::fresh(std::size_t index) {
    Part& part = parts_[index];
    const std::vector<ChunkRun>& runs = part.work.chunks.runs();
    if (part.run >= runs.size()) return std::nullopt;
    const ChunkWork work{
        .part = index, .position = part.next_position, .chunk = runs[part.run].first + part.within};
    ++part.next_position;
    if (++part.within >= runs[part.run].count) {
        ++part.run;
        part.within = 0;
    }
    part.open.insert(work.position);
    return work;
}

void WorkList::promote(const std::vector<std::size_t>& promoted) {
    std::vector<std::size_t> order;
    std::vector<bool> is_taken(parts_.size());
    const auto take = [&](std::size_t index) {
        if (!is_taken[index]) order.push_back(index);
        is_taken[index] = true;
    };
    for (const std::size_t index : order_) {
        if (parts_[index].work.rank == v1::METADATA) take(index);
    }
    for (const std::size_t index : promoted) {
        if (is_taken[index] || is_part_over(index)) continue;
        parts_[index].is_promoted = true;
        take(index);
    }
    for (const std::size_t index : order_) take(index);
    order_ = std::move(order);
    for (std::size_t place = 0; place < order_.size(); ++place) parts_[order_[place]].place = place;
    current_ = 0;
}

void WorkList::put_back(const ChunkWork& work) {
    retries_.push_back({.work = work, .not_before = {}});
}

std::optional<WorkList::Time> WorkList::next_retry() const {
    std::optional<Time> first;
    for (const Retry& retry : retries_) {
        if (!first || retry.not_before < *first) first = retry.not_before;
    }
    return first;
}

void WorkList::done(const ChunkWork& work) {
    ++parts_[work.part].read;
    close(work);
}

void WorkList::failed(const ChunkWork& work, Time now) {
    if (work.attempts + 1 >= kAttempts) return give_up(work);
    Retry retry{.work = work, .not_before = now + kFirstRetry * (1 << work.attempts)};
    ++retry.work.attempts;
    retries_.push_back(retry);
}

void WorkList::give_up(const ChunkWork& work) {
    parts_[work.part].given_up.add({.first = work.chunk, .count = 1});
    close(work);
}

void WorkList::close(const ChunkWork& work) {
    Part& part = parts_[work.part];
    if (work.is_from_before) {
        --part.open_from_before;
    } else {
        part.open.erase(work.position);
    }
}

void WorkList::drop(std::size_t volume, std::uint64_t end) {
    for (Part& part : parts_) {
        if (part.work.volume != volume) continue;
        const std::vector<ChunkRun>& runs = part.work.chunks.runs();
        ChunkSet kept;
        for (std::size_t i = 0; i < runs.size(); ++i) {
            ChunkRun run = runs[i];
            const std::uint64_t taken = i < part.run ? run.count : i == part.run ? part.within : 0;
            const std::uint64_t next = run.first + taken;
            const std::uint64_t stop = run.first + run.count;
            const std::uint64_t cut = std::clamp(end, next, stop);
            part.given_up.add({.first = cut, .count = stop - cut});
            run.count = cut - run.first;
            kept.add(run);
        }
        part.work.chunks = std::move(kept);
        const std::vector<ChunkRun>& now = part.work.chunks.runs();
        // The place of the next chunk, by its position.
        std::uint64_t skip = part.next_position;
        part.run = 0;
        while (part.run < now.size() && skip >= now[part.run].count) skip -= now[part.run++].count;
        part.within = skip;
    }
    for (auto retry = retries_.begin(); retry != retries_.end();) {
        const bool is_gone =
            parts_[retry->work.part].work.volume == volume && retry->work.chunk >= end;
        if (is_gone) give_up(retry->work);
        retry = is_gone ? retries_.erase(retry) : std::next(retry);
    }
}

bool WorkList::is_part_over(std::size_t index) const {
    const Part& part = parts_[index];
    return part.run >= part.work.chunks.runs().size() && part.open.empty() &&
           part.open_from_before == 0;
}

bool WorkList::is_over() const {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        if (!is_part_over(i)) return false;
    }
    return true;
}

std::uint64_t WorkList::done_without_gap(std::size_t index) const {
    const Part& part = parts_[index];
    return part.open.empty() ? part.next_position : *part.open.begin();
}

}  // namespace prebake::hydrate
