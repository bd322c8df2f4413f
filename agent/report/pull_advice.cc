#include "agent/report/pull_advice.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "agent/base/format.h"
#include "agent/base/timestamp.h"

namespace prebake::report {
namespace {

using Seconds = std::chrono::duration<double>;

/// Rates vary: a difference has to be this large to be worth money.
constexpr double kClearlyLonger = 1.2;
constexpr double kLeastSeconds = 5;
/// Before that, a rate says little.
constexpr double kLeastMeasuredSeconds = 3;

std::string amount(std::uint64_t bytes, double bytes_per_second, double seconds) {
    return format_bytes(bytes) + " at " +
           format_bytes(static_cast<std::uint64_t>(bytes_per_second)) +
           "/s: " + format_duration(Seconds(seconds));
}

}  // namespace

std::string pull_advice(const WarmOrPull& numbers) {
    if (numbers.bytes_per_second < 1 || numbers.pull_bytes_per_second < 1) return {};
    if (numbers.compressed_bytes == 0) return {};
    const double warming = static_cast<double>(numbers.cold_bytes) / numbers.bytes_per_second;
    const double pulling =
        static_cast<double>(numbers.compressed_bytes) / numbers.pull_bytes_per_second;
    if (warming < pulling * kClearlyLonger || warming < pulling + kLeastSeconds) return {};
    return "this disk gets warm more slowly (" +
           amount(numbers.cold_bytes, numbers.bytes_per_second, warming) +
           ") than a pull would take (" +
           amount(numbers.compressed_bytes, numbers.pull_bytes_per_second, pulling) +
           ", as when baked); if it matters: a provisioned rate for volume initialization, or fast "
           "snapshot restore";
}

double baked_bytes_per_second(const v1::BakeRecord& record) {
    // Images are baked side by side, so their times overlap.
    std::vector<std::pair<double, double>> spans;
    double bytes = 0;
    for (const v1::BakedImage& image : record.images()) {
        if (image.bytes_fetched() == 0 || image.seconds() <= 0 || !image.has_baked_at()) continue;
        const double end = Seconds(to_time(image.baked_at()).time_since_epoch()).count();
        spans.emplace_back(end - image.seconds(), end);
        bytes += static_cast<double>(image.bytes_fetched());
    }
    std::sort(spans.begin(), spans.end());
    double seconds = 0;
    double covered_until = spans.empty() ? 0 : spans.front().first;
    for (const auto& [begin, end] : spans) {
        seconds += std::max(0.0, end - std::max(begin, covered_until));
        covered_until = std::max(covered_until, end);
    }
    return seconds > 0 ? bytes / seconds : 0;
}

std::string pull_advice(const v1::NodeHydration& hydration, const v1::BakeRecord& record,
                        std::uint64_t compressed_bytes) {
    if (hydration.seconds() < kLeastMeasuredSeconds) return {};
    WarmOrPull numbers{
        .bytes_per_second = static_cast<double>(hydration.bytes()) / hydration.seconds(),
        .compressed_bytes = compressed_bytes,
        .pull_bytes_per_second = baked_bytes_per_second(record)};
    for (const v1::HydratedRank& rank : hydration.ranks()) {
        // The rest of what the machine reads at boot is not part of any image.
        if (rank.rank() != v1::BOOT) numbers.cold_bytes += rank.total_bytes();
    }
    return pull_advice(numbers);
}

}  // namespace prebake::report
