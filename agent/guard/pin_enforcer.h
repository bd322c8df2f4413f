#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "agent/guard/disk_usage.h"
#include "agent/guard/image_names.h"
#include "agent/guard/pin_budget.h"
#include "agent/guard/protected_images.h"
#include "agent/store/snapshotter.h"

namespace prebake::guard {

/// How much a protected image has been used.
struct Usage {
    std::uint64_t starts = 0;
    std::chrono::system_clock::time_point last_used{};
};
using UsageOf = std::function<Usage(const ImageKey&)>;

struct PinChange {
    ImageKey key;
    bool is_pinned = false;

    bool operator==(const PinChange&) const = default;
};

/// Keeps the pinned images within the limits of the disk.
class PinEnforcer {
  public:
    PinEnforcer(PinLimits limits, DiskUsage& disk, ImageNames& names)
        : limits_(limits), disk_(disk), names_(names) {}

    bool has_limits() const;
    /// As decide() found it last: every byte is needed.
    bool is_below_floor() const { return is_below_floor_; }

    /// Which images lose their pin, and which get it back. Makes few calls while there is room and
    /// nothing is unpinned.
    /// @throws Error unavailable, cancelled.
    std::vector<PinChange> decide(const ProtectedImages& images,
                                  const store::Snapshotters& snapshotters, const UsageOf& usage);
    /// Sets or removes the pins of the image's names, after `images` has recorded the change. A
    /// name that another pinned image shares stays pinned; a name that was moved to another image
    /// is left alone. @throws Error unavailable, cancelled.
    void apply(const PinChange& change, const ProtectedImages& images);

  private:
    PinLimits limits_;
    DiskUsage& disk_;
    ImageNames& names_;
    bool is_below_floor_ = false;
};

}  // namespace prebake::guard
