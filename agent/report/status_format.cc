#include "agent/report/status_format.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "agent/base/format.h"
#include "agent/guard/activity_log.h"
#include "agent/report/conditions.h"
#include "agent/report/image_order.h"
#include "agent/report/node_hydration.h"

namespace prebake::report {
namespace {

using google::protobuf::util::TimeUtil;

/// Limit for a single text, so that a long message leaves space for the rest.
constexpr std::size_t kMaxMessageBytes = 240;
constexpr std::size_t kMaxNameBytes = 160;
/// Reserved for the line about everything that did not fit.
constexpr std::size_t kLastLineBytes = 140;

/// Rounded down: 100% means all.
std::string percentage(std::uint64_t part, std::uint64_t whole) {
    if (part >= whole) return "100%";
    const auto tenths =
        static_cast<unsigned>(1000.0 * static_cast<double>(part) / static_cast<double>(whole));
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + "%";
}

std::string text_of(std::string_view text, std::size_t limit = kMaxMessageBytes) {
    return shorten(printable(text), limit);
}

/// Without fractions of a second.
std::string second_of(const google::protobuf::Timestamp& time) {
    return TimeUtil::ToString(TimeUtil::SecondsToTimestamp(time.seconds()));
}

std::string heading_of(const v1::NodeStatus& status) {
    if (status.verdict() == "ready") return "READY";
    if (status.verdict() == "degraded") return "DEGRADED";
    if (status.verdict() == "not_ready") return "NOT READY";
    if (status.verdict() == "starting") return "STARTING";
    if (status.verdict() == "sealed") return "SEALED";
    if (status.verdict() == "armed") return "ARMED";
    return "UNKNOWN";
}

std::string images_summary(const v1::ImageCounts& counts) {
    if (counts.baked() == 0) return "no images were baked";
    const std::uint32_t for_here = counts.baked() - counts.other_platform() - counts.removed();
    return std::to_string(counts.usable()) + " of " + counted(for_here, "image") + " usable";
}

std::string hits_summary(const v1::Totals& totals) {
    if (totals.starts() == 0) return "no starts yet";
    return percentage(totals.hits(), totals.starts()) + " of " + counted(totals.starts(), "start") +
           (totals.starts() == 1 ? " was a hit" : " were hits");
}

std::string first_line(const v1::NodeStatus& status) {
    const bool is_well = status.verdict() == "ready" || status.message().empty();
    return heading_of(status) + "  " +
           (is_well ? images_summary(status.counts()) + ", " + hits_summary(status.since_claim())
                    : text_of(status.message())) +
           "\n";
}

/// False if the daemon does not run and has written no status: then the images are unknown.
bool knows_images(const v1::NodeStatus& status) {
    return status.source() != "files" || status.counts().baked() > 0;
}

std::string images_line(const v1::ImageCounts& counts) {
    std::string line = images_summary(counts);
    const std::pair<std::uint32_t, const char*> parts[] = {
        {counts.unusable(), "not usable"},
        {counts.repaired(), "repaired"},
        {counts.moved(), "moved to another image"},
        {counts.removed(), "removed from Docker"},
        {counts.unpinned_by_budget(), "unpinned by the budget"},
        {counts.other_platform(), "for another platform"}};
    for (const auto& [number, what] : parts) {
        if (number > 0) line += ", " + std::to_string(number) + " " + what;
    }
    if (counts.baked_bytes() > 0) line += "; " + format_bytes(counts.baked_bytes());
    return line;
}

std::string totals_line(const v1::Totals& totals) {
    if (totals.starts() == 0 && totals.bytes_pulled() == 0) return "none yet";
    std::string line = counted(totals.starts(), "start");
    if (totals.starts() > 0) {
        line += ": " + counted(totals.hits(), "hit") + " (" +
                percentage(totals.hits(), totals.starts()) + "), " +
                std::to_string(totals.partials()) + " partial, " + std::to_string(totals.misses()) +
                " missed";
    }
    return line + "; " + format_bytes(totals.bytes_served()) + " from the bake, " +
           format_bytes(totals.bytes_pulled()) + " pulled";
}

std::string time_line(const v1::Times& times) {
    if (times.kernel_to_ready_seconds() <= 0) return {};
    std::string line =
        format_duration(std::chrono::duration<double>(times.kernel_to_ready_seconds())) +
        " after the kernel started";
    if (times.claim_to_ready_seconds() > 0) {
        line += ", " +
                format_duration(std::chrono::duration<double>(times.claim_to_ready_seconds())) +
                " after the claim";
    }
    return line;
}

/// Only if there is something to compare.
std::string first_starts_line(const v1::FirstStarts& starts) {
    if (starts.hydrated() == 0 || starts.cold() == 0) return {};
    const auto times = [](std::uint64_t number, double mean) {
        return format_duration(std::chrono::duration<double>(mean)) + " (" +
               counted(number, "image") + ")";
    };
    return "after hydration " + times(starts.hydrated(), starts.hydrated_mean_seconds()) +
           ", before it " + times(starts.cold(), starts.cold_mean_seconds());
}

std::string node_line(const v1::NodeStatus& status) {
    std::string line;
    const auto add = [&](const char* what, const std::string& value) {
        if (value.empty()) return;
        line += (line.empty() ? "" : ", ") + std::string(what) + text_of(value, 60);
    };
    add("", status.instance().id());
    add("", status.claim());
    add("containerd ", status.containerd_version());
    add("snapshotter ", status.snapshotter());
    add("prebake ", status.prebake_version());
    return line;
}

std::string age_of(const v1::NodeStatus& status, std::chrono::system_clock::time_point now) {
    if (!status.has_updated_at()) return {};
    const auto written =
        std::chrono::system_clock::time_point(std::chrono::seconds(status.updated_at().seconds()));
    // If the clock was set back, the time is in the future.
    const auto age = std::max<std::chrono::duration<double>>(now - written, {});
    return format_duration(age) + " ago";
}

/// The short facts that are always shown.
std::string facts_of(const v1::NodeStatus& status, std::chrono::system_clock::time_point now) {
    std::vector<std::vector<std::string>> rows;
    const auto add = [&](const char* name, const std::string& value) {
        if (!value.empty()) rows.push_back({name, value});
    };
    if (knows_images(status)) add("Images", images_line(status.counts()));
    add("This boot", totals_line(status.boot()));
    add("Since the claim", totals_line(status.since_claim()));
    if (status.counts().never_used() > 0) {
        add("Never used", counted(status.counts().never_used(), "image") + ", " +
                              format_bytes(status.counts().never_used_bytes()));
    }
    add("First ready", time_line(status.times()));
    const bool is_hydrated = status.hydration().state() == kHydratedState;
    add(is_hydrated ? "Hydrated" : "Hydration", text_of(hydration_line(status.hydration())));
    add("First starts", first_starts_line(status.first_starts()));
    add("Node", node_line(status));
    add("Updated", age_of(status, now));
    return format_table(rows);
}

std::string with_next_step(std::string text, const std::string& next_step) {
    if (!next_step.empty()) text += "    -> " + text_of(next_step) + "\n";
    return text;
}

/// One block of lines per condition. None of a machine that is about to become an image: they are
/// unknown, because the seal stopped the daemon.
std::vector<std::string> condition_blocks(const v1::NodeStatus& status) {
    if (status.verdict() == "sealed" || status.verdict() == "armed") return {};
    std::size_t width = 0;
    for (const auto& condition : status.conditions()) {
        if (!is_met(condition)) width = std::max(width, condition.type().size());
    }
    width = std::min(width, kMaxNameBytes);
    std::vector<std::string> blocks;
    std::string well;
    std::string not_applicable;
    for (const auto& condition : status.conditions()) {
        const std::string type = text_of(condition.type(), kMaxNameBytes);
        if (is_met(condition)) {
            std::string& list = condition.status() == "True" ? well : not_applicable;
            list += (list.empty() ? "" : ", ") + type;
            continue;
        }
        const std::string padding(width - std::min(width, type.size()), ' ');
        blocks.push_back(with_next_step(
            "  " + type + padding + "  " + text_of(condition.status(), 20) + "  " +
                text_of(condition.reason(), 60) + ": " + text_of(condition.message()) +
                (condition.gates_readiness() ? "" : " (does not gate readiness)") + "\n",
            condition.next_step()));
    }
    if (!well.empty()) blocks.push_back("  True: " + text_of(well) + "\n");
    if (!not_applicable.empty())
        blocks.push_back("  NotApplicable: " + text_of(not_applicable) + "\n");
    return blocks;
}

std::vector<std::string> image_blocks(const v1::NodeStatus& status) {
    std::vector<std::string> blocks;
    for (const auto& image : status.images()) {
        if (!has_problem(image)) continue;
        std::string line =
            "  " + text_of(image.state(), 20) + "  " + text_of(image.name(), kMaxNameBytes) + " (" +
            text_of(image.namespace_(), 76) +
            (image.platform().empty() ? "" : ", " + text_of(image.platform(), 40)) + ")";
        if (!image.message().empty()) line += ": " + text_of(image.message());
        blocks.push_back(with_next_step(line + "\n", image.next_step()));
    }
    return blocks;
}

std::vector<std::string> repair_blocks(const v1::NodeStatus& status) {
    std::vector<std::string> blocks;
    for (const auto& repair : status.repairs()) {
        std::string line = "  " + second_of(repair.at()) + "  " +
                           text_of(repair.image(), kMaxNameBytes) + ": " +
                           (repair.what().empty() ? "not repaired" : text_of(repair.what()));
        if (!repair.why().empty()) line += " (" + text_of(repair.why(), kMaxNameBytes) + ")";
        if (repair.has_problem()) line += ": " + text_of(repair.problem().message());
        blocks.push_back(with_next_step(line + "\n", repair.problem().next_step()));
    }
    return blocks;
}

std::vector<std::string> warning_blocks(const v1::NodeStatus& status) {
    std::vector<std::string> blocks;
    for (const auto& warning : status.warnings()) blocks.push_back("  " + text_of(warning) + "\n");
    return blocks;
}

/// Text up to a limit, in whole blocks. Counts the blocks that did not fit.
class Page {
  public:
    explicit Page(std::size_t room) : room_(room) {}

    /// `total`: the number of all blocks, of which `blocks` are given.
    void add_section(const char* title, const char* what, const std::vector<std::string>& blocks,
                     std::uint64_t total) {
        const std::string heading = std::string(title) + "\n";
        std::string section = heading;
        std::uint64_t shown = 0;
        for (const std::string& block : blocks) {
            if (text_.size() + section.size() + block.size() > room_) break;
            section += block;
            ++shown;
        }
        if (shown > 0) text_ += section;
        total = std::max<std::uint64_t>(total, blocks.size());
        if (shown == total) return;
        left_out_ += (left_out_.empty() ? "" : ", ") + counted(total - shown, what);
    }

    std::string finish() && {
        if (!left_out_.empty()) {
            text_ += "Omitted: " + left_out_ + "; see prebake status --json\n";
        }
        return std::move(text_);
    }

  private:
    const std::size_t room_;
    std::string text_;
    std::string left_out_;
};

}  // namespace

std::string status_text(const v1::NodeStatus& status, std::chrono::system_clock::time_point now) {
    const std::string head = first_line(status);
    const std::string facts = facts_of(status, now);
    Page page(kMaxTextBytes - head.size() - facts.size() - kLastLineBytes);
    page.add_section("Conditions", "condition", condition_blocks(status), 0);
    const v1::ImageCounts& counts = status.counts();
    page.add_section("Images with a problem", "image", image_blocks(status),
                     std::uint64_t{counts.unusable()} + counts.moved());
    page.add_section("Warnings", "warning", warning_blocks(status), 0);
    // Of all repairs the daemon keeps only the last, so the others are in no document.
    const std::uint64_t kept =
        std::min<std::uint64_t>(status.repairs_total(), guard::ActivityLog::kMaxRepairs);
    page.add_section("Repairs", "repair", repair_blocks(status), status.truncated() ? kept : 0);
    return head + facts + std::move(page).finish();
}

std::string status_brief(const v1::NodeStatus& status) {
    std::string word = heading_of(status);
    std::transform(word.begin(), word.end(), word.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (status.verdict() != "ready" && !status.message().empty()) {
        return shorten(word + ": " + printable(status.message()), kMaxBriefBytes - 2);
    }
    const v1::Totals& totals = status.since_claim();
    std::string line = word + ": " + images_summary(status.counts());
    if (totals.starts() > 0) line += ", " + percentage(totals.hits(), totals.starts()) + " hits";
    // No numbers: systemd shows this line, too, and each change is sent to it.
    if (status.hydration().state() == kHydratingState) line += ", hydrating";
    return shorten(line, kMaxBriefBytes - 2);
}

v1::NodeStatus status_of_files(const v1::NodeStatus& last, const v1::Ledger& ledger,
                               const std::string& boot_id, const std::string& why_no_daemon) {
    v1::NodeStatus status = last;
    status.set_schema("prebake.v1.NodeStatus");
    status.set_source("files");
    status.set_verdict("unknown");
    status.set_ready(false);
    status.set_message(why_no_daemon);
    if (last.has_updated_at()) {
        // The daemon writes on changes, so this is not the time at which it stopped.
        status.set_message(why_no_daemon + "; its last status is from " +
                           second_of(last.updated_at()));
    }
    for (auto& condition : *status.mutable_conditions()) {
        condition.set_message("was " + condition.status() + ": " + condition.message());
        condition.set_status("Unknown");
        condition.set_reason("DaemonNotRunning");
        condition.clear_next_step();
    }
    const bool is_same_boot = last.boot_id() == boot_id;
    if (!is_same_boot) status.clear_times();
    if (!is_same_boot || last.hydration().state() != kHydratedState) status.clear_hydration();
    status.set_boot_id(boot_id);
    // The ledger is written more often than the status, and survives a reboot.
    *status.mutable_since_claim() = ledger.since_claim();
    status.clear_first_starts();
    if (ledger.has_first_starts()) *status.mutable_first_starts() = ledger.first_starts();
    *status.mutable_boot() = ledger.boot_id() == boot_id ? ledger.boot() : v1::Totals();
    if (!status.has_updated_at() && ledger.has_updated_at()) {
        *status.mutable_updated_at() = ledger.updated_at();
    }
    return status;
}

}  // namespace prebake::report
