#include "agent/node/pin_budget.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <tuple>

namespace prebake::node {
namespace {

/// What a lost pin needs to come back, beyond the floor itself.
constexpr double kSpare = 0.1;

std::uint64_t part_of(std::uint64_t bytes, double ratio) {
    return static_cast<std::uint64_t>(static_cast<double>(bytes) * ratio);
}

std::uint64_t less(std::uint64_t from, std::uint64_t bytes) {
    return from > bytes ? from - bytes : 0;
}

std::uint64_t floor_of(const PinLimits& limits, const std::optional<DiskRoom>& room) {
    if (!room) return 0;
    return std::max(limits.min_free_bytes,
                    part_of(room->total_bytes, std::clamp(limits.min_free_ratio, 0.0, 1.0)));
}

/// Indexes into `candidates`: the first to lose its pin in front. The sandbox's is not among them.
std::vector<std::size_t> order_of_loss(const std::vector<PinCandidate>& candidates) {
    std::vector<std::size_t> order(candidates.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::erase_if(order, [&](std::size_t i) { return candidates[i].is_sandbox; });
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const PinCandidate& left = candidates[a];
        const PinCandidate& right = candidates[b];
        return std::tie(left.starts, left.last_used, right.bytes) <
               std::tie(right.starts, right.last_used, left.bytes);
    });
    return order;
}

}  // namespace

std::vector<bool> decide_pins(const std::vector<PinCandidate>& candidates, const PinLimits& limits,
                              const std::optional<DiskRoom>& room) {
    std::vector<bool> pinned(candidates.size());
    std::uint64_t pinned_bytes = 0;
    std::uint64_t unpinned_bytes = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const PinCandidate& candidate = candidates[i];
        pinned[i] = candidate.is_pinned || candidate.is_sandbox;
        (pinned[i] ? pinned_bytes : unpinned_bytes) += candidate.bytes;
    }

    const std::uint64_t most = limits.max_pinned_bytes == 0 ? UINT64_MAX : limits.max_pinned_bytes;
    const std::uint64_t least_free = floor_of(limits, room);
    // What has no pin can be reclaimed by the kubelet when it needs room: it counts as free.
    std::uint64_t reclaimable = room ? room->free_bytes + unpinned_bytes : UINT64_MAX;

    std::vector<std::size_t> order = order_of_loss(candidates);
    bool has_lost = false;
    for (const std::size_t i : order) {
        if (pinned_bytes <= most && reclaimable >= least_free) break;
        if (!pinned[i]) continue;
        pinned[i] = false;
        has_lost = true;
        pinned_bytes -= candidates[i].bytes;
        if (room) reclaimable += candidates[i].bytes;
    }
    if (has_lost) return pinned;

    const std::uint64_t least_again = least_free + part_of(least_free, kSpare);
    // The most used first: a smaller one that is used less does not overtake it.
    std::ranges::reverse(order);
    for (const std::size_t i : order) {
        if (pinned[i]) continue;
        const std::uint64_t bytes = candidates[i].bytes;
        if (bytes > less(most, pinned_bytes)) break;
        if (room && less(reclaimable, bytes) < least_again) break;
        pinned[i] = true;
        pinned_bytes += bytes;
        if (room) reclaimable -= bytes;
    }
    return pinned;
}

}  // namespace prebake::node
