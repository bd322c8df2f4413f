#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "agent/guard/protected_images.h"

/// Which images to check again, and when. Pure.
namespace prebake::guard {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Limits how often one image is repaired, so that prebake does not fight another client forever.
class RepairAllowance {
  public:
    static constexpr std::size_t kMost = 5;
    static constexpr std::chrono::seconds kWithin{60};

    /// Takes one repair from the image's allowance; false when it is used up.
    bool take(const ImageKey& key, SteadyTime now);

  private:
    std::map<ImageKey, std::deque<SteadyTime>> taken_;
};

/// Gathers what events say against images, so that one prune of three names is one repair.
class Suspicions {
  public:
    /// After the last event about any of them.
    static constexpr std::chrono::milliseconds kCalm{50};
    /// After the first suspicion, the longest delay.
    static constexpr std::chrono::milliseconds kMostDelay{500};

    /// The first reason stays: later events follow from it.
    void add(const ImageKey& key, const std::string& why, SteadyTime now);
    /// Checks the image again at `when` in any case. False if that is already planned.
    bool add_later(const ImageKey& key, const std::string& why, SteadyTime when);

    std::optional<SteadyTime> due() const;
    /// Those that are due, with the reason of each; forgets them.
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
