#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Which images stay pinned when there is not room for all. Pure.
namespace prebake::guard {

/// Pinned bytes that the kubelet may not reclaim are DiskPressure when there are too many of them.
struct PinLimits {
    std::uint64_t max_pinned_bytes = 0;  ///< of unpacked images with their blobs; 0: no limit
    std::uint64_t min_free_bytes = 0;    ///< on the disk of containerd; 0: no floor
    double min_free_ratio = 0;  ///< the same as a part of the disk, 0 to 1; the larger one counts

    bool operator==(const PinLimits&) const = default;
};

/// A layer's snapshot or blob, which images may share.
struct PinnedPart {
    std::string id;
    std::uint64_t bytes = 0;  ///< on disk
};

struct PinCandidate {
    std::string ns;
    std::string name;
    std::vector<PinnedPart> parts = {};
    std::uint64_t starts = 0;
    std::chrono::system_clock::time_point last_used = {};
    bool is_pinned = true;    ///< as it is now
    bool is_sandbox = false;  ///< stays pinned whatever happens
};

struct DiskRoom {
    std::uint64_t free_bytes = 0;
    std::uint64_t total_bytes = 0;
};

/// For each candidate whether it is to be pinned: the least used (starts, then last use, then the
/// larger) lose their pins first, until the rest is within the limits. What images share counts
/// once, and is gained only with the last pin on it. What lost its pin gets it back only when there
/// is room to spare (a tenth more than the floor), so that pins do not flap.
std::vector<bool> decide_pins(const std::vector<PinCandidate>& candidates, const PinLimits& limits,
                              const std::optional<DiskRoom>& room);

}  // namespace prebake::guard
