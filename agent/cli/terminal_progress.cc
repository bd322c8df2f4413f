#include "agent/cli/terminal_progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "agent/base/format.h"

namespace prebake::cli {
namespace {

using bake::Event;
using bake::EventKind;

constexpr std::size_t kBarWidth = 24;
constexpr std::size_t kDigestShown = 19;  // "sha256:" and 12 digits
constexpr std::chrono::milliseconds kRedrawInterval{100};

std::string bar(std::uint64_t current, std::uint64_t total) {
    const std::uint64_t filled =
        total == 0 ? 0 : std::min<std::uint64_t>(kBarWidth, current * kBarWidth / total);
    return "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "]";
}

struct ScreenSize {
    std::size_t columns = 80;
    std::size_t rows = 24;
};

ScreenSize screen_size() {
    struct winsize size {};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
        return {};
    }
    return {.columns = size.ws_col, .rows = size.ws_row};
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

void LiveState::apply(const Event& event, Clock::time_point now) {
    const std::pair key{event.image, event.layer};
    switch (event.kind) {
        case EventKind::bake_begun:
            begin_ = now;
            images_ = event.images;
            to_fetch_ = event.total;
            break;
        case EventKind::image_begun:
            break;
        case EventKind::fetching: {
            Layer& layer = active_[key];
            if (event.current > layer.current) fetched_ += event.current - layer.current;
            layer = {.unpacking = false, .current = event.current, .total = event.total};
            break;
        }
        case EventKind::unpacking:
            active_[key] = {.unpacking = true, .current = event.total, .total = event.total};
            break;
        case EventKind::fetched:
        case EventKind::unpacked:
            active_.erase(key);
            break;
        case EventKind::image_done:
        case EventKind::image_failed:
            ++images_ended_;
            std::erase_if(active_,
                          [&](const auto& item) { return item.first.first == event.image; });
            break;
        case EventKind::notice:
            break;
    }
}

std::string LiveState::draw(std::size_t width, std::size_t height, Clock::time_point now) const {
    if (images_ == 0) return {};
    std::string text;
    std::size_t lines = 1;
    for (const auto& [key, layer] : active_) {
        if (++lines > height) break;
        const std::string what =
            layer.unpacking ? "unpacking"
                            : format_bytes(layer.current) + " / " + format_bytes(layer.total);
        std::string line = key.second.substr(0, kDigestShown) + "  " +
                           bar(layer.current, layer.total) + "  " + what + "  " + key.first;
        line.resize(std::min(line.size(), width));
        text += line + "\n";
    }
    std::string total = total_line(now);
    total.resize(std::min(total.size(), width));
    return text + total + "\n";
}

std::string LiveState::total_line(Clock::time_point now) const {
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = seconds > 0 ? static_cast<double>(fetched_) / seconds : 0;
    std::string line = "images " + std::to_string(images_ended_) + " of " +
                       std::to_string(images_) + " done  " + format_bytes(fetched_) + " of " +
                       format_bytes(to_fetch_) + "  " +
                       format_bytes(static_cast<std::uint64_t>(rate)) + "/s";
    if (rate > 0 && fetched_ < to_fetch_) {
        const double left = static_cast<double>(to_fetch_ - fetched_) / rate;
        line += "  " + format_duration(std::chrono::duration<double>(left)) + " left";
    }
    return line;
}

TerminalProgress::~TerminalProgress() {
    if (drawn_lines_ > 0) std::fprintf(stderr, "\x1b[%zuA\x1b[J", drawn_lines_);
}

void TerminalProgress::on_event(const Event& event) {
    const auto now = LiveState::Clock::now();
    const std::scoped_lock lock(mutex_);
    state_.apply(event, now);
    const std::string lasting = line_for(event);
    if (lasting.empty() && now - last_draw_ < kRedrawInterval) return;
    last_draw_ = now;
    redraw(lasting);
}

/// Moves up over the live lines, clears to the end of the screen, and writes everything at once to
/// avoid flicker.
void TerminalProgress::redraw(const std::string& lasting) {
    std::string screen;
    if (drawn_lines_ > 0) screen = "\x1b[" + std::to_string(drawn_lines_) + "A\x1b[J";
    if (!lasting.empty()) screen += lasting + "\n";
    const ScreenSize size = screen_size();
    const std::string live = state_.draw(size.columns - 1, std::max<std::size_t>(size.rows / 2, 2),
                                         LiveState::Clock::now());
    screen += live;
    drawn_lines_ = static_cast<std::size_t>(std::count(live.begin(), live.end(), '\n'));
    std::fputs(screen.c_str(), stderr);
}

}  // namespace prebake::cli
