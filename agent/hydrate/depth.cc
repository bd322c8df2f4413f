#include "agent/hydrate/depth.h"

#include <algorithm>
#include <cmath>

#include "agent/hydrate/chunk_set.h"

namespace prebake::hydrate {
namespace {

// A step up is worth it if at least half of what was added arrives as speed. Small steps, because
// others wait for as long as a step went too far.
constexpr double kGrowth = 1.25;
constexpr double kQuickGrowth = 1.5;
constexpr double kFarTooDeep = 4;
constexpr double kSmallGrowth = 1.1;
constexpr double kWorthwhile = 0.5;
// At first the knee may be far below; later it has only moved.
constexpr double kFirstShrink = 0.5;
constexpr double kShrink = 0.85;
// What sinking may lose of the rate in all its steps together.
constexpr double kKept = 0.96;
// Reads do not end evenly: a little more than fits exactly keeps the disk busy.
constexpr double kReserve = 1.05;
constexpr unsigned kLeastMeasured = 8;
// Measurements for which a depth is held before another one is tried.
constexpr unsigned kHeld = 24;
constexpr double kUsualBytesPerSecond = 125.0 * 1024 * 1024;

}  // namespace

DepthControl::DepthControl(DepthLimits limits)
    : limits_(limits),
      depth_(std::clamp(limits.start, limits.least, limits.most)),
      shrink_(kFirstShrink),
      growth_(kGrowth) {
    // All of the first ones begin at once, so they say nothing about how many end in a second.
    skipped_ = depth_;
}

void DepthControl::on_done(Time now, std::chrono::duration<double> latency) {
    if (since_ == Time{}) since_ = now;
    ++done_;
    if (is_first_ && limits_.cold_read.count() > 0) {
        first_latencies_.push_back(latency.count());
        if (is_far_too_deep()) return;
    }
    // The first ones were asked for at another depth.
    if (done_ <= skipped_) {
        since_ = now;
        return;
    }
    const bool is_first = phase_ == Phase::sinking && shrink_ == kFirstShrink;
    const unsigned cycles = phase_ == Phase::climbing || is_first ? 1 : 2;
    const unsigned wanted = std::max(cycles * depth_, kLeastMeasured);
    if (done_ - skipped_ < wanted) return;
    const double seconds = std::chrono::duration<double>(now - since_).count();
    const double rate = seconds > 0 ? (done_ - skipped_) / seconds : 0;
    done_ = 0;
    skipped_ = 0;
    since_ = now;
    if (rate > 0) judge(rate);
}

/// Where the first reads take many times as long as one alone, the store behind the disk is slow:
/// the others wait long if that is found out step by step. Reads that just differ a lot do not look
/// like that: half of them are not slow.
bool DepthControl::is_far_too_deep() {
    const std::size_t count = first_latencies_.size();
    if (count < std::max(depth_, kLeastMeasured)) return false;
    is_first_ = false;
    const auto half = first_latencies_.begin() + static_cast<std::ptrdiff_t>(count / 2);
    const auto middle = half + static_cast<std::ptrdiff_t>(count / 4);
    std::nth_element(half, middle, first_latencies_.end());
    const double ratio = *middle / limits_.cold_read.count();
    first_latencies_ = {};
    if (ratio < kFarTooDeep) return false;
    growth_ = kQuickGrowth;
    go_to(clamped(std::max(depth_ / ratio * kQuickGrowth, 1.0)));
    return true;
}

void DepthControl::judge(double rate) {
    switch (phase_) {
        case Phase::climbing:
            return climb(rate);
        case Phase::sinking:
            return sink(rate);
        case Phase::holding:
            return hold(rate);
    }
}

void DepthControl::climb(double rate) {
    if (last_rate_ > 0) {
        const double added = static_cast<double>(depth_) / last_depth_ - 1;
        const double gained = rate / last_rate_ - 1;
        if (gained < kWorthwhile * added) {
            // Below the knee the rate is proportional to the depth, so this is where the knee is,
            // or above it if it was already passed: sinking finds out.
            const double knee = last_depth_ * std::max(rate / last_rate_, 1.0);
            // The larger of two measurements is one that was too large.
            reference_ = (rate + std::max(rate, last_rate_)) / 2;
            phase_ = Phase::sinking;
            growth_ = kGrowth;
            return go_to(clamped(knee * kReserve));
        }
    }
    if (depth_ >= limits_.most || is_throttled_) {
        reference_ = rate;
        phase_ = Phase::sinking;
        return go_to(clamped(depth_ * shrink_));
    }
    last_rate_ = rate;
    last_depth_ = depth_;
    go_to(clamped(std::max(depth_ * growth_, depth_ + 1.0)));
}

void DepthControl::sink(double rate) {
    if (rate >= kKept * reference_ && depth_ > limits_.least) {
        return go_to(clamped(std::min(depth_ * shrink_, depth_ - 1.0)));
    }
    phase_ = Phase::holding;
    shrink_ = kShrink;
    held_ = 0;
    go_to(clamped(std::max(depth_ * reference_ / rate * kReserve, depth_ + 1.0)));
}

void DepthControl::hold(double rate) {
    if (++held_ < kHeld) return;
    held_ = 0;
    if (depth_ >= limits_.most || is_throttled_) {
        reference_ = rate;
        phase_ = Phase::sinking;
        return go_to(clamped(std::min(depth_ * shrink_, depth_ - 1.0)));
    }
    // A small step up; if it brings nothing, climb() sinks from here again.
    last_rate_ = rate;
    last_depth_ = depth_;
    phase_ = Phase::climbing;
    go_to(clamped(std::max(depth_ * kSmallGrowth, depth_ + 1.0)));
}

void DepthControl::on_error() {
    is_first_ = false;
    phase_ = Phase::holding;
    held_ = 0;
    last_rate_ = 0;
    go_to(clamped(depth_ / 2.0));
}

void DepthControl::restart_measurement() {
    done_ = 0;
    skipped_ = depth_;
    since_ = Time{};
}

void DepthControl::go_to(unsigned depth) {
    // As many as are in flight now were asked for at the depth before.
    skipped_ = std::max(depth, depth_);
    done_ = 0;
    since_ = Time{};
    depth_ = depth;
}

unsigned DepthControl::clamped(double depth) const {
    return static_cast<unsigned>(std::clamp(std::floor(depth), static_cast<double>(limits_.least),
                                            static_cast<double>(limits_.most)));
}

unsigned first_depth(std::chrono::duration<double> cold_read, unsigned most) {
    const DepthLimits usual;
    if (cold_read.count() <= 0) return std::min(usual.start, most);
    const double depth =
        cold_read.count() * kUsualBytesPerSecond / static_cast<double>(kChunkBytes);
    const unsigned upper = std::max(most, 8U);
    return std::min(static_cast<unsigned>(std::clamp(std::ceil(depth), 8.0, 1.0 * upper)), most);
}

RateLimit::RateLimit(std::uint64_t bytes_per_second)
    : rate_(static_cast<double>(bytes_per_second)),
      most_(std::max(rate_ / 10, static_cast<double>(kChunkBytes))),
      left_(most_) {}

std::chrono::nanoseconds RateLimit::delay(Time now) {
    if (rate_ <= 0) return {};
    if (refilled_ != Time{}) {
        const double seconds = std::chrono::duration<double>(now - refilled_).count();
        left_ = std::min(most_, left_ + seconds * rate_);
    }
    refilled_ = now;
    if (left_ > 0) return {};
    const std::chrono::duration<double> missing((1 - left_) / rate_);
    return std::chrono::duration_cast<std::chrono::nanoseconds>(missing) +
           std::chrono::nanoseconds(1);
}

void RateLimit::take(std::uint64_t bytes) {
    if (rate_ > 0) left_ -= static_cast<double>(bytes);
}

}  // namespace prebake::hydrate
