#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "agent/docker/documents.h"
#include "agent/docker/engine.h"

namespace prebake::docker {

/// What the lines of a pull's stream say so far. Engines with the containerd store repeat the state
/// of each layer ten times a second, also if nothing happens: only a change is progress. Pure.
class PullStream {
  public:
    using Clock = std::chrono::steady_clock;

    PullStream(const Patience& patience, Clock::time_point now)
        : patience_(patience), changed_at_(now) {}

    /// The layer's progress, if the line changed it.
    std::optional<PullProgress> take(const StreamLine& line, Clock::time_point now);
    /// For how long from `now` there may be no line; not positive if dockerd is stuck.
    std::chrono::milliseconds remaining(Clock::time_point now) const;
    /// The limit that remaining() counts down.
    std::chrono::milliseconds limit() const;
    /// What dockerd does: "downloading" or "unpacking".
    std::string phase() const;
    /// Whether dockerd said that the image is there.
    bool is_complete() const { return is_complete_; }

  private:
    bool is_unpacking() const;

    Patience patience_;
    Clock::time_point changed_at_;
    std::map<std::string, PullProgress> layers_;
    bool is_complete_ = false;
};

}  // namespace prebake::docker
