#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Decides which images stay pinned if the disk has no room for all. Pure.
namespace prebake::guard {

/// The kubelet cannot reclaim pinned bytes: too many of them cause DiskPressure.
struct PinLimits {
    std::uint64_t max_pinned_bytes = 0;  ///< of unpacked images with their blobs; 0: no limit
    std::uint64_t min_free_bytes = 0;    ///< on the disk of containerd; 0: no floor
    double min_free_ratio = 0;  ///< of the disk, 0 to 1; the larger of the two floors counts

    bool operator==(const PinLimits&) const = default;
};

/// A layer's snapshot or blob. Images may share it.
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
    bool is_pinned = true;    ///< now
    bool is_sandbox = false;  ///< always stays pinned
};

struct DiskRoom {
    std::uint64_t free_bytes = 0;
    std::uint64_t total_bytes = 0;
};

/// Whether the disk has less room than the limits ask for. Once it has, a tenth more than the floor
/// must be free until it has not.
bool is_below_floor(const PinLimits& limits, const std::optional<DiskRoom>& room, bool was_below);

/// Whether each candidate should be pinned. The least used images lose their pins first (by starts,
/// then last use, then size, the larger first), until the rest is within the limits. Shared parts
/// count once, and are freed with the last pin on them. An image gets its pin back only if a tenth
/// more than the floor would stay free, so that pins do not flap.
std::vector<bool> decide_pins(const std::vector<PinCandidate>& candidates, const PinLimits& limits,
                              const std::optional<DiskRoom>& room);

}  // namespace prebake::guard
