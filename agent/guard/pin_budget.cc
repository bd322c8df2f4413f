#include "agent/guard/pin_budget.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <set>
#include <string_view>
#include <tuple>

namespace prebake::guard {
namespace {

/// The part of the floor that must be free in addition before a pin comes back.
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

std::uint64_t size_of(const PinCandidate& candidate) {
    std::uint64_t bytes = 0;
    for (const PinnedPart& part : candidate.parts) bytes += part.bytes;
    return bytes;
}

/// Indexes into `candidates`, without the sandbox image; the first one loses its pin first.
std::vector<std::size_t> order_of_loss(const std::vector<PinCandidate>& candidates) {
    std::vector<std::size_t> order(candidates.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::vector<std::uint64_t> bytes(candidates.size());
    std::ranges::transform(candidates, bytes.begin(), size_of);
    std::erase_if(order, [&](std::size_t i) { return candidates[i].is_sandbox; });
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const PinCandidate& left = candidates[a];
        const PinCandidate& right = candidates[b];
        return std::tie(left.starts, left.last_used, bytes[b]) <
               std::tie(right.starts, right.last_used, bytes[a]);
    });
    return order;
}

/// The bytes of each candidate that are freed if it loses its pin after all candidates before it in
/// `order`, or used if it gets its pin back after all candidates behind it. Shared parts are
/// charged to the last candidate that loses its pin.
std::vector<std::uint64_t> charges_of(const std::vector<PinCandidate>& candidates,
                                      const std::vector<std::size_t>& order) {
    std::vector<std::uint64_t> charges(candidates.size());
    std::set<std::string_view> charged;
    const auto charge = [&](std::size_t i) {
        for (const PinnedPart& part : candidates[i].parts) {
            if (charged.insert(part.id).second) charges[i] += part.bytes;
        }
    };
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (candidates[i].is_sandbox) charge(i);
    }
    for (const bool is_pinned : {true, false}) {
        for (std::size_t i = order.size(); i-- > 0;) {
            if (candidates[order[i]].is_pinned == is_pinned) charge(order[i]);
        }
    }
    return charges;
}

/// What must be free before a pin comes back.
std::uint64_t with_spare(std::uint64_t floor) {
    return floor + part_of(floor, kSpare);
}

}  // namespace

bool is_below_floor(const PinLimits& limits, const std::optional<DiskRoom>& room, bool was_below) {
    if (!room) return false;
    const std::uint64_t floor = floor_of(limits, room);
    return room->free_bytes < (was_below ? with_spare(floor) : floor);
}

std::vector<bool> decide_pins(const std::vector<PinCandidate>& candidates, const PinLimits& limits,
                              const std::optional<DiskRoom>& room) {
    std::vector<std::size_t> order = order_of_loss(candidates);
    const std::vector<std::uint64_t> charges = charges_of(candidates, order);
    std::vector<bool> pinned(candidates.size());
    std::uint64_t pinned_bytes = 0;
    std::uint64_t unpinned_bytes = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        pinned[i] = candidates[i].is_pinned || candidates[i].is_sandbox;
        (pinned[i] ? pinned_bytes : unpinned_bytes) += charges[i];
    }

    const std::uint64_t most = limits.max_pinned_bytes == 0 ? UINT64_MAX : limits.max_pinned_bytes;
    const std::uint64_t least_free = floor_of(limits, room);
    // The kubelet can reclaim unpinned images: they count as free.
    std::uint64_t reclaimable = room ? room->free_bytes + unpinned_bytes : UINT64_MAX;

    bool has_lost = false;
    for (const std::size_t i : order) {
        if (pinned_bytes <= most && reclaimable >= least_free) break;
        if (!pinned[i]) continue;
        pinned[i] = false;
        has_lost = true;
        pinned_bytes -= charges[i];
        if (room) reclaimable += charges[i];
    }
    if (has_lost) return pinned;

    const std::uint64_t least_again = with_spare(least_free);
    // The most used image first: a smaller, less used one does not overtake it.
    std::ranges::reverse(order);
    for (const std::size_t i : order) {
        if (pinned[i]) continue;
        if (charges[i] > less(most, pinned_bytes)) break;
        if (room && less(reclaimable, charges[i]) < least_again) break;
        pinned[i] = true;
        pinned_bytes += charges[i];
        if (room) reclaimable -= charges[i];
    }
    return pinned;
}

}  // namespace prebake::guard
