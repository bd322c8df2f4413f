#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "agent/guard/protected_images.h"

/// Which images have to be looked at again, and when. Pure.
namespace prebake::guard {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Bounds how often one image is repaired: who undoes each repair at once insists, and would be
/// fought for ever.
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
    /// After the first, come what may.
    static constexpr std::chrono::milliseconds kMostDelay{500};

    /// The first reason stays: later events follow from it.
    void add(const ImageKey& key, const std::string& why, SteadyTime now);
    /// To be looked at again at `when`, whatever happens until then. False if that is known.
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
