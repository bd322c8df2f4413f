#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "agent/bake/event.h"

namespace prebake::cli {

/// The permanent line for an event, without a line end; empty for events that only move a bar.
std::string line_for(const bake::Event& event);

/// State of the live part of the screen. Events update it; drawing is a pure function of it.
class LiveState {
  public:
    using Clock = std::chrono::steady_clock;

    void apply(const bake::Event& event, Clock::time_point now);

    /// One line per active layer, then one for the total; at most `height` lines of at most `width`
    /// columns. Empty before the bake has started.
    std::string draw(std::size_t width, std::size_t height, Clock::time_point now) const;

  private:
    struct Layer {
        bool unpacking = false;
        std::uint64_t current = 0;
        std::uint64_t total = 0;
    };
    std::string total_line(Clock::time_point now) const;

    std::map<std::pair<std::string, std::string>, Layer> active_;  // (image, layer)
    Clock::time_point begin_{};
    std::uint64_t to_fetch_ = 0;
    std::uint64_t fetched_ = 0;
    std::size_t images_ = 0;
    std::size_t images_ended_ = 0;
};

/// Permanent lines scroll; the live lines below them are redrawn in place, at most ten times per
/// second.
class TerminalProgress : public bake::EventSink {
  public:
    TerminalProgress() = default;
    ~TerminalProgress() override;
    TerminalProgress(const TerminalProgress&) = delete;
    TerminalProgress& operator=(const TerminalProgress&) = delete;
    void on_event(const bake::Event& event) override;

  private:
    void redraw(const std::string& lasting);

    std::mutex mutex_;
    LiveState state_;
    std::size_t drawn_lines_ = 0;
    LiveState::Clock::time_point last_draw_{};
};

}  // namespace prebake::cli
