#include "agent/report/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/report/conditions.h"
#include "agent/report/node_hydration.h"

namespace prebake::report {
namespace {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// Escapes a label value; https://prometheus.io/docs/instrumenting/exposition_formats.
std::string escaped(std::string_view value) {
    std::string result;
    for (const char c : value) {
        if (c == '\\' || c == '"') result += '\\';
        if (c == '\n') {
            result += "\\n";
        } else {
            result += c;
        }
    }
    return result;
}

std::string to_text(std::uint64_t value) {
    return std::to_string(value);
}

std::string to_text(double value) {
    std::array<char, 32> digits{};
    const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    return std::string(digits.data(), written.ptr);
}

/// Writes each family with its HELP and TYPE, followed by its series.
class Writer {
  public:
    void family(std::string_view name, std::string_view type, std::string_view help) {
        family_ = name;
        append({"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"});
    }
    void gauge(std::string_view name, std::string_view help) { family(name, "gauge", help); }
    void counter(std::string_view name, std::string_view help) { family(name, "counter", help); }

    template <typename Value>
    void series(Value value, Labels labels = {}) {
        append({family_});
        char separator = '{';
        for (const auto& [label, text] : labels) {
            text_ += separator;
            append({label, "=\"", escaped(text), "\""});
            separator = ',';
        }
        if (labels.size() > 0) text_ += '}';
        append({" ", to_text(value), "\n"});
    }

    std::string take() { return std::move(text_); }

  private:
    void append(std::initializer_list<std::string_view> parts) {
        for (const auto part : parts) text_ += part;
    }

    std::string text_;
    std::string_view family_;
};

void write_readiness(Writer& writer, const v1::NodeStatus& status) {
    writer.gauge("prebake_build_info", "The version of the daemon; always 1.");
    writer.series(std::uint64_t{1}, {{"version", status.prebake_version()}});
    writer.gauge("prebake_ready",
                 "Whether every condition that gates the node's readiness is true.");
    writer.series(std::uint64_t{status.ready()});

    std::optional<bool> is_serving = false;
    if (!status.conditions().empty()) {
        writer.gauge("prebake_condition",
                     "The node's conditions: 1 for the status that each has. Conditions that are "
                     "about nothing on this node have no series.");
    }
    for (const auto& condition : status.conditions()) {
        // A series that is 0 for True would be an alarm to every rule that asks for that.
        const bool is_applicable = condition.status() != "NotApplicable";
        if (condition.type() == kContainerdServing) {
            is_serving.reset();
            if (is_applicable) is_serving = condition.status() == "True";
        }
        if (!is_applicable) continue;
        for (const std::string_view each : {"True", "False", "Unknown"}) {
            writer.series(std::uint64_t{condition.status() == each},
                          {{"type", condition.type()}, {"status", each}});
        }
    }
    if (is_serving) {
        writer.gauge("prebake_containerd_up", "Whether containerd answers.");
        writer.series(std::uint64_t{*is_serving});
    }

    const auto seconds = [&](std::string_view name, double value, std::string_view help) {
        if (value <= 0) return;  // unknown, or not yet
        writer.gauge(name, help);
        writer.series(value);
    };
    const auto& times = status.times();
    seconds("prebake_kernel_to_ready_seconds", times.kernel_to_ready_seconds(),
            "From the start of the kernel until the node was ready.");
    seconds("prebake_claim_to_ready_seconds", times.claim_to_ready_seconds(),
            "From the claim of this instance until the node was ready.");
    seconds("prebake_containerd_to_ready_seconds", times.containerd_to_ready_seconds(),
            "From containerd's first answer until the node was ready.");
}

void write_images(Writer& writer, const v1::NodeStatus& status) {
    constexpr std::array<std::string_view, 7> kStates{
        "usable", "repaired", "moved", "unusable", "evicted", "removed", "other_platform"};
    std::array<std::uint64_t, kStates.size()> counts{};
    for (const auto& image : status.images()) {
        const auto state = std::ranges::find(kStates, image.state());
        if (state != kStates.end()) ++counts[static_cast<std::size_t>(state - kStates.begin())];
    }
    writer.gauge("prebake_images", "Baked images by state; one in each of its namespaces.");
    for (std::size_t i = 0; i < kStates.size(); ++i) {
        writer.series(counts[i], {{"state", kStates[i]}});
    }
    const auto gauge = [&](std::string_view name, std::uint64_t value, std::string_view help) {
        writer.gauge(name, help);
        writer.series(value);
    };
    const auto& all = status.counts();
    gauge("prebake_pinned_images", all.pinned(), "Baked images that are pinned.");
    gauge("prebake_baked_bytes", all.baked_bytes(),
          "Compressed size of the baked images, every layer once.");
    gauge("prebake_images_never_used", all.never_used(),
          "Baked images of which no container was started.");
    gauge("prebake_never_used_bytes", all.never_used_bytes(),
          "Compressed size of the baked images of which no container was started.");
    writer.counter("prebake_repairs_total",
                   "Repairs of baked images since the daemon started, failed ones included.");
    writer.series(std::uint64_t{status.repairs_total()});
}

std::string_view word_of(v1::HydrationRank rank) {
    switch (rank) {
        case v1::METADATA:
            return "metadata";
        case v1::TRACED:
            return "traced";
        case v1::IMAGES:
            return "images";
        case v1::BOOT:
            return "boot";
        case v1::HYDRATION_RANK_UNSPECIFIED:
        case v1::HydrationRank_INT_MIN_SENTINEL_DO_NOT_USE_:
        case v1::HydrationRank_INT_MAX_SENTINEL_DO_NOT_USE_:
            break;
    }
    return {};
}

void write_warm_bytes(Writer& writer, const v1::NodeHydration& hydration) {
    std::map<std::string_view, std::pair<std::uint64_t, std::uint64_t>> ranks;
    for (const auto& rank : hydration.ranks()) {
        auto& [warm, total] = ranks[word_of(rank.rank())];
        warm += rank.bytes();
        total += rank.total_bytes();
    }
    ranks.erase("");  // of a later version
    if (ranks.empty()) return;
    writer.gauge("prebake_hydration_bytes",
                 "Bytes of the disk that are warm, by why they are read ahead.");
    for (const auto& [rank, bytes] : ranks) writer.series(bytes.first, {{"rank", rank}});
    writer.gauge("prebake_hydration_total_bytes", "Bytes of the disk that are to be read ahead.");
    for (const auto& [rank, bytes] : ranks) writer.series(bytes.second, {{"rank", rank}});
}

void write_hydration(Writer& writer, const v1::NodeStatus& status) {
    if (!status.has_hydration()) return;
    const v1::NodeHydration& hydration = status.hydration();
    writer.gauge("prebake_hydration_state",
                 "What prebake-hydrate.service does: 1 for its state, 0 for the others.");
    for (const std::string_view state :
         {kProbingState, kHydratingState, kHydratedState, kIncompleteState, kNotNeededState,
          kOffState, kNoPlanState, kFailedState, kStoppedState, kNotRunState}) {
        writer.series(std::uint64_t{hydration.state() == state}, {{"state", state}});
    }
    if (hydration.total_bytes() == 0) return;
    write_warm_bytes(writer, hydration);
    writer.gauge("prebake_hydration_seconds", "How long it has read, over all boots.");
    writer.series(hydration.seconds());
    writer.gauge("prebake_hydration_depth", "Its reads in flight.");
    writer.series(std::uint64_t{hydration.depth()});
    writer.counter("prebake_cold_reads_total",
                   "Reads of the disk that took 16 ms or more since hydration began, by the log "
                   "page of EBS.");
    writer.series(hydration.cold_reads());
    writer.counter("prebake_throttled_seconds_total",
                   "How long the disk was over the limits of volume or instance since hydration "
                   "began, by the log page of EBS.");
    writer.series(hydration.throttled_seconds());
}

void write_first_starts(Writer& writer, const v1::FirstStarts& starts) {
    if (starts.hydrated() + starts.cold() == 0) return;
    writer.counter("prebake_first_starts_total",
                   "First starts of baked images in a boot since the claim, by whether what they "
                   "read was hydrated.");
    writer.series(starts.hydrated(), {{"hydrated", "true"}});
    writer.series(starts.cold(), {{"hydrated", "false"}});
    const auto sum = [](std::uint64_t number, double mean) {
        return static_cast<double>(number) * mean;
    };
    writer.counter("prebake_first_start_seconds_total",
                   "Their times from the creation of the container to the start of its process.");
    writer.series(sum(starts.hydrated(), starts.hydrated_mean_seconds()), {{"hydrated", "true"}});
    writer.series(sum(starts.cold(), starts.cold_mean_seconds()), {{"hydrated", "false"}});
}

void write_ledger(Writer& writer, const NodeView& view, ImageRows& image_rows) {
    const auto& total = view.status.since_claim();
    writer.counter("prebake_starts_total",
                   "Container starts since the claim, by how much of their image was baked.");
    writer.series(total.hits(), {{"result", "hit"}});
    writer.series(total.partials(), {{"result", "partial"}});
    writer.series(total.misses(), {{"result", "miss"}});
    writer.counter("prebake_served_bytes_total",
                   "Compressed bytes of baked layers that were used since the claim.");
    writer.series(total.bytes_served());
    writer.counter("prebake_pulled_bytes_total",
                   "Compressed bytes that were pulled since the claim.");
    writer.series(total.bytes_pulled());
    writer.counter(
        "prebake_ledger_gaps_total",
        "Periods without events from containerd; starts that ended in them are not counted.");
    writer.series(std::uint64_t{view.ledger.gaps_total()});

    write_first_starts(writer, view.ledger.first_starts());

    const auto rows = image_rows.update(view.ledger);
    if (rows.empty()) return;
    writer.counter("prebake_image_starts_total",
                   "Container starts of an image since the claim; images without a series of "
                   "their own are counted as \"other\".");
    for (const auto& row : rows) {
        const auto series = [&](std::uint64_t value, std::string_view result) {
            writer.series(value, {{"image", row.name},
                                  {"namespace", row.ns},
                                  {"platform", row.platform},
                                  {"result", result}});
        };
        series(row.counts.hits, "hit");
        series(row.counts.partials, "partial");
        series(row.counts.misses, "miss");
    }
    writer.counter("prebake_image_pulled_bytes_total",
                   "Compressed bytes that were pulled for an image since the claim.");
    for (const auto& row : rows) {
        writer.series(row.counts.bytes_pulled,
                      {{"image", row.name}, {"namespace", row.ns}, {"platform", row.platform}});
    }
}

}  // namespace

std::string metrics_text(const NodeView& view, ImageRows& rows) {
    Writer writer;
    write_readiness(writer, view.status);
    write_images(writer, view.status);
    write_hydration(writer, view.status);
    write_ledger(writer, view, rows);
    return writer.take();
}

}  // namespace prebake::report
