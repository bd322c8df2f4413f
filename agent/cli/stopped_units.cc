#include "agent/cli/stopped_units.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <stop_token>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/base/wait.h"
#include "agent/cli/log.h"

namespace prebake::cli {
namespace {

constexpr std::size_t kMaxBytes = 1UL << 20;
constexpr const char* kClaimingUnit = "prebake-online.service";
/// For all units to start. A daemon takes less; a unit that waits for another one may take minutes.
constexpr std::chrono::seconds kStartLimit{10};
constexpr std::chrono::milliseconds kPause{200};

std::map<std::string, Started> look_at(const std::vector<std::string>& units,
                                       const std::stop_token& stop) {
    std::vector<std::string> arguments{"systemctl", "show", kStartProperties, "--"};
    arguments.insert(arguments.end(), units.begin(), units.end());
    return started_units(
        run_or_throw({.arguments = std::move(arguments), .output_limit = kMaxBytes}, stop));
}

}  // namespace

void announce_stops(const Invocation& invocation, const std::vector<std::string>& units) {
    if (units.empty() || invocation.quiet || invocation.json) return;
    std::printf("units to stop: %s\n", joined(units).c_str());
    std::fflush(stdout);
}

void remember_stopped(const std::filesystem::path& file, const std::vector<std::string>& units) {
    std::vector<std::string> all = remembered_units(file);
    for (const std::string& unit : units) {
        if (unit == kClaimingUnit) continue;
        if (std::find(all.begin(), all.end(), unit) == all.end()) all.push_back(unit);
    }
    if (all.empty()) return;
    std::string text;
    for (const std::string& unit : all) text += unit + "\n";
    write_file_durably(file, text, 0600);
}

std::vector<std::string> remembered_units(const std::filesystem::path& file) {
    std::vector<std::string> units;
    try {
        const std::string text = read_file(file, kMaxBytes);
        for (const std::string_view line : lines_of(text)) {
            if (!line.empty()) units.emplace_back(line);
        }
    } catch (const Error& error) {
        if (error.code() != Errc::not_found) throw;
    }
    return units;
}

std::map<std::string, Started> started_units(std::string_view shown) {
    std::map<std::string, Started> units;
    std::map<std::string_view, std::string_view> properties;
    const auto end_block = [&] {
        const auto value = [&](std::string_view name) {
            const auto found = properties.find(name);
            return found == properties.end() ? std::string_view() : found->second;
        };
        const bool is_queued = !value("Job").empty() && value("Job") != "0";
        const bool is_over = value("ActiveState") == "inactive";
        const bool has_nothing_to_do = value("ConditionResult") == "no" ||
                                       (value("Type") == "oneshot" && value("Result") == "success");
        // A unit that keeps failing is "activating", as it was before the seal.
        const bool is_lost = value("ActiveState") == "failed" || (is_over && !has_nothing_to_do);
        if (!properties.empty()) {
            units[std::string(value("Id"))] = is_queued ? Started::not_yet
                                              : is_lost ? Started::no
                                                        : Started::yes;
        }
        properties.clear();
    };
    // One block of lines for each unit, in any order.
    for (const std::string_view line : lines_of(shown)) {
        const std::size_t equals = line.find('=');
        if (line.empty()) {
            end_block();
        } else if (equals != std::string_view::npos) {
            properties.emplace(line.substr(0, equals), line.substr(equals + 1));
        }
    }
    end_block();
    return units;
}

std::vector<std::string> in_start_order(std::vector<std::string> stopped) {
    std::reverse(stopped.begin(), stopped.end());
    std::stable_partition(stopped.begin(), stopped.end(),
                          [](const std::string& unit) { return !unit.ends_with(".service"); });
    return stopped;
}

void start_stopped_units(const Invocation& invocation) {
    const std::vector<std::string> stopped = remembered_units(kStoppedUnitsFile);
    if (stopped.empty()) return;
    const std::vector<std::string> units = in_start_order(stopped);
    const std::stop_token stop = invocation.signals.token();
    std::map<std::string, std::string> problems;
    for (const std::string& unit : units) {
        try {
            run_or_throw({.arguments = {"systemctl", "start", "--no-block", "--", unit}}, stop);
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            problems[unit] = error.message();
        }
    }
    std::map<std::string, Started> now = look_at(units, stop);
    const auto is_waiting = [&](const std::string& unit) {
        return problems.count(unit) == 0 && now[unit] == Started::not_yet;
    };
    const auto limit = std::chrono::steady_clock::now() + kStartLimit;
    while (std::any_of(units.begin(), units.end(), is_waiting) &&
           std::chrono::steady_clock::now() < limit) {
        sleep_for(kPause, stop);
        now = look_at(units, stop);
    }
    std::vector<std::string> started;
    std::vector<std::string> waiting;
    for (const std::string& unit : units) {
        if (is_waiting(unit)) {
            waiting.push_back(unit);
        } else if (problems.count(unit) == 0 && now[unit] == Started::yes) {
            started.push_back(unit);
        } else {
            const std::string why =
                problems.count(unit) == 0 ? "it, or what it requires, failed" : problems[unit];
            log_warning(unit + ", which the seal stopped, was not started again: " + why +
                        "; see systemctl status " + unit);
        }
    }
    std::vector<std::string> left = stopped;
    std::erase_if(left, [&](const std::string& unit) {
        return std::find(started.begin(), started.end(), unit) != started.end();
    });
    std::error_code ignored;  // it may be absent
    std::filesystem::remove(kStoppedUnitsFile, ignored);
    remember_stopped(kStoppedUnitsFile, left);
    if (invocation.quiet) return;
    if (!started.empty()) std::printf("started again: %s\n", joined(started).c_str());
    if (!waiting.empty()) {
        std::printf("still starting: %s (systemctl list-jobs shows what they wait for)\n",
                    joined(waiting).c_str());
    }
}

}  // namespace prebake::cli
