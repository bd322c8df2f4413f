#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/bake/event.h"
#include "agent/cli/live_state.h"

namespace prebake::cli {

/// The permanent line for an event, without a line end; empty for events that only move a bar.
std::string line_for(const bake::Event& event);

struct ScreenSize {
    std::size_t columns = 80;
    std::size_t rows = 24;
};

/// What to draw for, if the terminal reports these columns and rows (0: it does not know). The
/// variable COLUMNS, null if it is not set, is what the user wants (POSIX): also for a terminal
/// that does not know its size, but never more than it has.
ScreenSize screen_size(std::size_t columns, std::size_t rows, const char* wanted_columns);

/// Permanent lines scroll; the live lines below them are redrawn in place, at most ten times per
/// second. Each redraw asks for the size of the terminal. The destructor removes the live lines,
/// and what the terminal echoed below them ("^C"): the cursor is at the start of an empty line.
class TerminalProgress : public bake::EventSink {
  public:
    TerminalProgress();
    ~TerminalProgress() override;
    TerminalProgress(const TerminalProgress&) = delete;
    TerminalProgress& operator=(const TerminalProgress&) = delete;
    void on_event(const bake::Event& event) override;

  private:
    void keep_drawing(const std::stop_token& ended);
    std::string erase() const;
    void draw(const std::string& lasting);

    std::mutex mutex_;
    LiveState state_;
    std::vector<std::string> drawn_;
    std::condition_variable_any never_notified_;
    std::jthread thread_;  // "progress": redraws, also while nothing happens
};

}  // namespace prebake::cli
