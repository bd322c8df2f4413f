#include "agent/report/node_hydration.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "agent/base/format.h"

namespace prebake::report {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr double kMicrosecond = 1e-6;

std::string rate(double bytes_per_second) {
    // The document is another program's: what is not a number must not be converted.
    if (!(bytes_per_second > 0)) return "0 B/s";
    return format_bytes(static_cast<std::uint64_t>(std::min(bytes_per_second, 1e18))) + "/s";
}

/// How cold the disk was found. Of several disks, the first one that was measured counts.
void add_measurements(const v1::Hydration& progress, v1::NodeHydration& hydration) {
    double throttled = 0;
    for (const v1::HydratedVolume& volume : progress.volumes()) {
        hydration.set_cold_reads(hydration.cold_reads() + volume.cold_reads());
        throttled += static_cast<double>(volume.throttled_microseconds()) * kMicrosecond;
        if (hydration.depth_1_bytes_per_second() > 0 || !volume.lazy()) continue;
        hydration.set_depth_1_bytes_per_second(volume.depth_1_bytes_per_second());
        hydration.set_peak_bytes_per_second(volume.peak_bytes_per_second());
        hydration.set_peak_depth(volume.peak_depth());
    }
    hydration.set_throttled_seconds(throttled);
}

std::string cold_part(const v1::NodeHydration& hydration) {
    if (hydration.depth_1_bytes_per_second() <= 0) return {};
    std::string text = "cold: " + rate(hydration.depth_1_bytes_per_second()) + " at depth 1";
    if (hydration.peak_depth() > 1 && hydration.peak_bytes_per_second() > 0) {
        text += ", " + rate(hydration.peak_bytes_per_second()) + " at " +
                std::to_string(hydration.peak_depth());
    }
    return text;
}

/// "hot 310.0 MiB in 2.2 s, all 6.5 GiB in 1 min 36 s"
std::string times_part(const v1::NodeHydration& hydration) {
    std::uint64_t hot_bytes = 0;
    double hot_seconds = 0;
    for (const v1::HydratedRank& rank : hydration.ranks()) {
        if (rank.rank() != v1::METADATA && rank.rank() != v1::TRACED) continue;
        hot_bytes += rank.bytes();
        hot_seconds = std::max(hot_seconds, rank.seconds());  // since the begin of reading
    }
    std::string text;
    if (hot_bytes > 0 && hot_seconds > 0) {
        text = "hot " + format_bytes(hot_bytes) + " in " + format_duration(Seconds(hot_seconds)) +
               ", ";
    }
    return text + "all " + format_bytes(hydration.bytes()) + " in " +
           format_duration(Seconds(hydration.seconds()));
}

std::string progress_part(const v1::NodeHydration& hydration) {
    return std::to_string(warm_percent(hydration)) + "% (" + warm_part(hydration) + ")";
}

std::string running_part(const v1::NodeHydration& hydration) {
    std::string text = progress_part(hydration);
    if (hydration.bytes_per_second() > 0) text += ", " + rate(hydration.bytes_per_second());
    if (hydration.eta_seconds() > 0) {
        text += ", " + format_duration(Seconds(hydration.eta_seconds())) + " left";
    }
    return text;
}

}  // namespace

std::optional<v1::NodeHydration> node_hydration(const HydrationFacts& facts) {
    v1::NodeHydration hydration;
    if (!facts.progress) {
        if (!facts.has_plan || facts.is_plan_of_this_boot) return {};
        hydration.set_state(std::string(kNotRunState));
        hydration.set_message(facts.problem);
        return hydration;
    }
    const v1::Hydration& progress = *facts.progress;
    const bool is_stopped = facts.is_silent && is_at_work(progress.state());
    hydration.set_state(is_stopped ? std::string(kStoppedState) : progress.state());
    hydration.set_message(progress.message());
    for (const v1::HydratedRank& rank : progress.ranks()) {
        *hydration.add_ranks() = rank;
        hydration.set_bytes(hydration.bytes() + rank.bytes());
        hydration.set_total_bytes(hydration.total_bytes() + rank.total_bytes());
    }
    hydration.set_seconds(progress.seconds());
    if (!is_stopped && is_at_work(progress.state())) {
        hydration.set_bytes_per_second(progress.bytes_per_second());
        hydration.set_eta_seconds(progress.eta_seconds());
        hydration.set_depth(progress.depth());
    }
    add_measurements(progress, hydration);
    if (progress.has_traced_at()) *hydration.mutable_traced_at() = progress.traced_at();
    return hydration;
}

std::string warm_part(const v1::NodeHydration& hydration) {
    return format_bytes(hydration.bytes()) + " of " + format_bytes(hydration.total_bytes());
}

unsigned warm_percent(const v1::NodeHydration& hydration) {
    if (hydration.bytes() >= hydration.total_bytes()) return 100;
    return static_cast<unsigned>(100.0 * static_cast<double>(hydration.bytes()) /
                                 static_cast<double>(hydration.total_bytes()));
}

std::string hydration_line(const v1::NodeHydration& hydration) {
    const std::string& state = hydration.state();
    std::string text;
    if (state == kHydratedState) {
        text = times_part(hydration);
    } else if (state == kHydratingState) {
        text = running_part(hydration);
    } else if (state == kProbingState) {
        text = "finding out how cold the disk is";
    } else if (state == kIncompleteState) {
        text = "incomplete at " + progress_part(hydration);
    } else if (state == kStoppedState) {
        text = "stopped at " + progress_part(hydration);
    } else if (state == kFailedState && hydration.bytes() > 0) {
        text = "failed at " + progress_part(hydration);
    } else {
        return {};
    }
    const std::string cold = cold_part(hydration);
    return cold.empty() ? text : text + "; " + cold;
}

}  // namespace prebake::report
