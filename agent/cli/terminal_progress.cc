#include "agent/cli/terminal_progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "agent/base/format.h"

namespace prebake::cli {
namespace {

using bake::Event;
using bake::EventKind;

constexpr std::chrono::milliseconds kRedrawInterval{100};

ScreenSize terminal_size() {
    struct winsize size {};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) size = {};
    return screen_size(size.ws_col, size.ws_row, std::getenv("COLUMNS"));
}

}  // namespace

std::string line_for(const Event& event) {
    switch (event.kind) {
        case EventKind::bake_begun:
            return {};
        case EventKind::image_begun:
            return event.image + ": baking " + format_bytes(event.total) + ", " +
                   format_bytes(event.current) + " already present";
        case EventKind::image_done:
            return event.image + ": done, fetched " + format_bytes(event.current);
        // The error and the next step are printed once, at the end of the bake.
        case EventKind::image_failed:
            return event.image + ": FAILED";
        case EventKind::notice:
            return (event.image.empty() ? "" : event.image + ": ") + event.message;
        case EventKind::fetching:
        case EventKind::fetched:
        case EventKind::unpacking:
        case EventKind::unpacked:
            return {};
    }
    return {};
}

ScreenSize screen_size(std::size_t columns, std::size_t rows, const char* wanted_columns) {
    ScreenSize size;
    if (rows > 0) size.rows = rows;
    if (columns > 0) size.columns = columns;
    if (wanted_columns == nullptr) return size;
    std::size_t wanted = 0;
    const char* const end = wanted_columns + std::strlen(wanted_columns);
    const auto [last, failure] = std::from_chars(wanted_columns, end, wanted);
    if (failure != std::errc() || last != end || wanted == 0) return size;
    size.columns = columns > 0 ? std::min(columns, wanted) : wanted;
    return size;
}

TerminalProgress::TerminalProgress()
    : thread_([this](const std::stop_token& ended) { keep_drawing(ended); }) {}

TerminalProgress::~TerminalProgress() {
    thread_.request_stop();
    thread_.join();
    std::fputs(erase().c_str(), stderr);
}

void TerminalProgress::on_event(const Event& event) {
    const std::string lasting = line_for(event);
    const std::scoped_lock lock(mutex_);
    state_.apply(event, LiveState::Clock::now());
    if (!lasting.empty()) draw(lasting);
}

void TerminalProgress::keep_drawing(const std::stop_token& ended) {
    std::unique_lock lock(mutex_);
    while (!ended.stop_requested()) {
        draw("");
        never_notified_.wait_for(lock, ended, kRedrawInterval, [] { return false; });
    }
}

/// Moves up over the live lines and clears to the end of the screen. From the first column: the
/// terminal may have echoed a key.
std::string TerminalProgress::erase() const {
    if (drawn_.empty()) return "\r\x1b[J";
    return "\r\x1b[" + std::to_string(drawn_.size()) + "A\x1b[J";
}

/// Writes everything at once to avoid flicker, and nothing if nothing has changed. Leaves the last
/// column empty, where some terminals begin the next line.
void TerminalProgress::draw(const std::string& lasting) {
    const ScreenSize size = terminal_size();
    std::vector<std::string> live = state_.lines(
        size.columns - 1, std::max<std::size_t>(size.rows / 2, 1), LiveState::Clock::now());
    if (lasting.empty() && live == drawn_) return;
    std::string screen = erase();
    if (!lasting.empty()) screen += lasting + "\n";
    for (const std::string& line : live) screen += line + "\n";
    drawn_ = std::move(live);
    std::fputs(screen.c_str(), stderr);
}

}  // namespace prebake::cli
