#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "agent/guard/protected_images.h"

/// Decides which images have to be checked again, and when. Pure.
namespace prebake::guard {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Limits how often one image is repaired: if another program undoes each repair at once, we must
/// not fight it without end.
class RepairAllowance {
  public:
    static constexpr std::size_t kMost = 5;
    static constexpr std::chrono::seconds kWithin{60};

    /// Takes one repair from the image's allowance; false when it is used up.
    bool take(const ImageKey& key, SteadyTime now);

  private:
    std::map<ImageKey, std::deque<SteadyTime>> taken_;
};

/// Collects the images that events were about, so that a prune of three names is one repair.
class Suspicions {
  public:
    /// The delay after the last event about any image.
    static constexpr std::chrono::milliseconds kCalm{50};
    /// The longest delay after the first event.
    static constexpr std::chrono::milliseconds kMostDelay{500};

    /// If the image is already suspected, the first reason is kept: later events follow from it.
    void add(const ImageKey& key, const std::string& why, SteadyTime now);
    /// Checks the image at `when`, also if nothing happens until then. False if that was planned
    /// already.
    bool add_later(const ImageKey& key, const std::string& why, SteadyTime when);

    std::optional<SteadyTime> due() const;
    /// Removes and returns the images that are due, with their reasons.
    std::map<ImageKey, std::string> take(SteadyTime now);
    void clear();

  private:
    struct Later {
        std::string why;
        SteadyTime when;
    };

    std::map<ImageKey, std::string> now_;
    SteadyTime first_{};
    SteadyTime last_{};
    std::map<ImageKey, Later> later_;
};

}  // namespace prebake::guard
