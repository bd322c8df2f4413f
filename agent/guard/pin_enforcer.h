#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/survey.h"
#include "agent/containerd/connection.h"
#include "agent/guard/pin_budget.h"
#include "agent/guard/protected_images.h"

namespace prebake::guard {

/// How much a protected image has been used.
struct Usage {
    std::uint64_t starts = 0;
    std::chrono::system_clock::time_point last_used{};
};

struct PinChange {
    ImageKey key;
    bool is_pinned = false;
};

/// Measures the pinned images and the disk they are on, and holds them to the limits.
class PinEnforcer {
  public:
    using UsageOf = std::function<Usage(const ImageKey&)>;

    PinEnforcer(PinLimits limits, const containerd::Connection& connection)
        : limits_(limits), connection_(connection) {}

    bool has_limits() const;
    /// After containerd may have changed, its directories are looked up again.
    void forget_disk() { disk_.reset(); }

    /// Which pins have to go, or may come back. Cheap while there is room and nothing is unpinned.
    /// @throws Error unavailable, cancelled.
    std::vector<PinChange> decide(const ProtectedImages& images,
                                  const store::Snapshotters& snapshotters, const UsageOf& usage);
    /// Sets or removes the pins of the image's names, which `images` knows about already. Names
    /// that other pinned images share stay pinned.
    void apply(const PinChange& change, const ProtectedImages& images) const;

  private:
    std::optional<DiskRoom> disk_room(const std::string& snapshotter);
    std::uint64_t layer_bytes(const std::string& ns, const std::string& snapshotter,
                              const std::string& chain_id);

    PinLimits limits_;
    const containerd::Connection& connection_;
    std::optional<std::filesystem::path> disk_;  ///< a directory of containerd; empty: not visible
    std::map<std::string, std::uint64_t> layer_bytes_;  ///< measured once: snapshots do not change
};

}  // namespace prebake::guard
