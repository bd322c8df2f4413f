#include "agent/cli/live_state.h"

#include <algorithm>
#include <cmath>

#include "agent/base/format.h"

namespace prebake::cli {
namespace {

using bake::Event;
using bake::EventKind;

constexpr std::string_view kAlgorithm = "sha256:";
constexpr std::size_t kDigitsShown = 12;
constexpr std::size_t kGap = 2;         // between columns
constexpr std::size_t kLeastName = 16;  // columns for a name, before another column gets any
constexpr double kLongestEstimate = 100 * 3600;  // seconds; a longer one means that it is stuck

/// Digits between the brackets; 0: there is no room for a bar. A terminal of 60 columns gives 59.
std::size_t bar_size(std::size_t width) {
    return width < 55 ? 0 : width < 99 ? 8 : 24;
}

std::string bar(std::uint64_t current, std::uint64_t total, std::size_t size) {
    const double part = total == 0 ? 0 : static_cast<double>(current) / static_cast<double>(total);
    const std::size_t filled =
        std::min(size, static_cast<std::size_t>(part * static_cast<double>(size)));
    return "[" + std::string(filled, '#') + std::string(size - filled, '.') + "]";
}

std::string part_of(std::uint64_t current, std::uint64_t total) {
    return format_bytes(current) + " of " + format_bytes(total);
}

/// "40 s", "12 min", "3 h": an estimate is not more exact than that.
std::string roughly(double seconds) {
    if (seconds < 100) return std::to_string(std::lround(std::ceil(seconds))) + " s";
    if (seconds < 6000) return std::to_string(std::lround(seconds / 60)) + " min";
    return std::to_string(std::lround(seconds / 3600)) + " h";
}

std::string cut(std::string line, std::size_t width) {
    line.resize(std::min(line.size(), width));
    return line;
}

std::string padded(std::string text, std::size_t size) {
    text.resize(std::max(text.size(), size), ' ');
    return text;
}

std::string short_digest(const std::string& digest) {
    const std::size_t begin = digest.starts_with(kAlgorithm) ? kAlgorithm.size() : 0;
    return digest.substr(begin, kDigitsShown);
}

}  // namespace

std::string shorten_name(const std::string& name, std::size_t width) {
    constexpr std::string_view kEllipsis = "...";
    std::string text = name;
    const std::size_t digest = text.find("@sha256:");
    if (digest != std::string::npos) {
        text.resize(std::min(text.size(), digest + 1 + kAlgorithm.size() + kDigitsShown));
    }
    if (text.size() <= width) return text;
    if (width <= kEllipsis.size()) return text.substr(text.size() - width);
    const std::size_t room = width - kEllipsis.size();
    // Of the end: the last component if it fits, else the tag if it fits.
    const std::size_t slash = text.rfind('/');
    std::size_t kept = slash == std::string::npos ? text.size() : text.size() - slash;
    if (kept > room) {
        if (slash != std::string::npos) text.erase(0, slash + 1);
        if (text.size() <= width) return text;
        const std::size_t tag = text.rfind(':');
        kept = std::min(room, tag == std::string::npos ? room / 2 : text.size() - tag);
    }
    return text.substr(0, room - kept) + std::string(kEllipsis) + text.substr(text.size() - kept);
}

// What is done -----------------------------------------------------------------------------------

void LiveState::Stage::plan(const std::vector<bake::PlannedWork>& works) {
    for (const bake::PlannedWork& work : works) {
        items_[work.id].total = work.bytes;
        total_ += work.bytes;
        if (work.is_done) finish(work.id);
    }
}

void LiveState::Stage::reach(const std::string& id, std::uint64_t bytes) {
    const auto found = items_.find(id);
    if (found == items_.end()) return;
    Item& item = found->second;
    const std::uint64_t reached = std::min(bytes, item.total);
    if (reached <= item.done) return;
    done_ += reached - item.done;
    item.done = reached;
}

void LiveState::Stage::finish(const std::string& id) {
    reach(id, UINT64_MAX);
}

void LiveState::apply(const Event& event, Clock::time_point now) {
    const std::pair key{event.image, event.layer};
    switch (event.kind) {
        case EventKind::bake_begun:
            begin_ = now;
            images_ = event.images;
            stored_.plan(event.layers);
            unpacked_.plan(event.snapshots);
            break;
        case EventKind::image_begun:
            break;
        case EventKind::fetching: {
            Layer& layer = active_[key];
            if (event.received > layer.received) received_ += event.received - layer.received;
            layer = {.current = event.current, .total = event.total, .received = event.received};
            stored_.reach(event.layer, event.current);
            break;
        }
        case EventKind::fetched:
            active_.erase(key);
            stored_.finish(event.layer);
            break;
        case EventKind::unpacking:
            active_[key] = {.is_unpacking = true, .total = event.total};
            break;
        case EventKind::unpacked:
            active_.erase(key);
            unpacked_.finish(event.snapshot);
            break;
        case EventKind::image_done:
        case EventKind::image_failed:
            ++(event.kind == EventKind::image_done ? images_done_ : images_failed_);
            std::erase_if(active_,
                          [&](const auto& item) { return item.first.first == event.image; });
            break;
        case EventKind::notice:
            break;
    }
}

// How it looks -----------------------------------------------------------------------------------

std::vector<std::string> LiveState::lines(std::size_t width, std::size_t height,
                                          Clock::time_point now) const {
    if (images_ == 0) return {};
    std::vector<std::string> below = totals(width, now);
    if (below.size() > height) {
        below.erase(below.begin(), below.end() - static_cast<std::ptrdiff_t>(height));
    }
    std::vector<std::string> all = layer_lines(active_, height - below.size(), width);
    all.insert(all.end(), below.begin(), below.end());
    return all;
}

/// Columns that do not fit are left out: first the bar, then the digest.
std::vector<std::string> LiveState::layer_lines(const Layers& layers, std::size_t limit,
                                                std::size_t width) {
    std::vector<std::string> states;
    std::size_t longest_name = 0;
    std::size_t longest_state = 0;
    for (const auto& [key, layer] : layers) {
        if (states.size() == limit) break;
        // How far containerd is with a layer is not known.
        states.push_back(layer.is_unpacking ? "unpacking " + format_bytes(layer.total)
                                            : part_of(layer.current, layer.total));
        longest_state = std::max(longest_state, states.back().size());
        longest_name = std::max(longest_name, shorten_name(key.first, SIZE_MAX).size());
    }
    std::size_t room = width;
    const auto has_room = [&](std::size_t columns) {
        if (columns == 0 || room < kGap + columns + kLeastName) return false;
        room -= kGap + columns;
        return true;
    };
    const bool has_state = has_room(longest_state);
    const bool has_digest = has_state && has_room(kDigitsShown);
    const std::size_t bar_columns = bar_size(width) == 0 ? 0 : bar_size(width) + 2;
    const bool has_bar = has_digest && width >= 79 && has_room(bar_columns);
    const std::size_t name_columns = std::min(longest_name, room);
    std::vector<std::string> lines;
    const std::string gap(kGap, ' ');
    for (auto item = layers.begin(); lines.size() < states.size(); ++item) {
        const auto& [key, layer] = *item;
        std::string line = padded(shorten_name(key.first, name_columns), name_columns);
        if (has_digest) line += gap + short_digest(key.second);
        if (has_bar) {
            line += gap + (layer.is_unpacking ? std::string(bar_columns, ' ')
                                              : bar(layer.current, layer.total, bar_columns - 2));
        }
        if (has_state) line += gap + states[lines.size()];
        lines.push_back(cut(std::move(line), width));
    }
    return lines;
}

std::vector<std::string> LiveState::totals(std::size_t width, Clock::time_point now) const {
    std::vector<std::string> lines;
    if (stored_.total() > 0) {
        lines.push_back(stage_line("stored", stored_, width, transfer_notes(now)));
    }
    if (unpacked_.total() > 0) lines.push_back(stage_line("unpacked", unpacked_, width, {}));
    std::string images =
        "images    " + std::to_string(images_done_) + " of " + std::to_string(images_) + " done";
    if (images_failed_ > 0) images += ", " + std::to_string(images_failed_) + " failed";
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - begin_).count();
    images += ", " + roughly(static_cast<double>(seconds));
    lines.push_back(cut(std::move(images), width));
    return lines;
}

std::string LiveState::stage_line(const std::string& label, const Stage& stage, std::size_t width,
                                  const std::vector<std::string>& notes) const {
    std::string line = padded(label, 10);
    const std::size_t size = bar_size(width);
    if (size > 0) line += bar(stage.done(), stage.total(), size) + "  ";
    line += part_of(stage.done(), stage.total());
    for (const std::string& note : notes) {
        if (line.size() + 2 + note.size() > width) break;
        line += ", " + note;
    }
    return cut(std::move(line), width);
}

/// The time that is left and the rate, from what came over the network. After an image failed,
/// nobody knows how much of the rest will be fetched.
std::vector<std::string> LiveState::transfer_notes(Clock::time_point now) const {
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const std::uint64_t left = stored_.total() - stored_.done();
    if (left == 0 || received_ == 0 || seconds <= 0) return {};
    const double rate = static_cast<double>(received_) / seconds;
    const double estimate = static_cast<double>(left) / rate;
    std::vector<std::string> notes;
    if (images_failed_ == 0 && estimate < kLongestEstimate) {
        notes.push_back(roughly(estimate) + " left");
    }
    notes.push_back(format_bytes(static_cast<std::uint64_t>(rate)) + "/s");
    return notes;
}

}  // namespace prebake::cli
