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
    std::vector<std::string> arguments{"systemctl", "show", "--property=Id,ActiveState,Job", "--"};
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
    std::string unit;
    Started state = Started::yes;
    const auto end_block = [&] {
        if (!unit.empty()) units[unit] = state;
        unit.clear();
        state = Started::yes;
    };
    // One block of lines for each unit, in any order. A unit that keeps failing is as it was before
    // the seal.
    for (const std::string_view line : lines_of(shown)) {
        if (line.empty()) {
            end_block();
        } else if (line.starts_with("Id=")) {
            unit = line.substr(3);
        } else if (line == "ActiveState=failed") {
            state = Started::no;
        } else if (line.starts_with("Job=") && line.size() > 4 && line != "Job=0") {
            state = Started::not_yet;
        }
    }
    end_block();
    return units;
}

void start_stopped_units(const Invocation& invocation) {
    std::vector<std::string> units = remembered_units(kStoppedUnitsFile);
    if (units.empty()) return;
    // The last one that stopped starts first.
    std::reverse(units.begin(), units.end());
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
    std::vector<std::string> failed;
    for (const std::string& unit : units) {
        if (is_waiting(unit)) {
            waiting.push_back(unit);
        } else if (problems.count(unit) == 0 && now[unit] == Started::yes) {
            started.push_back(unit);
        } else {
            const std::string why = problems.count(unit) == 0 ? "it failed" : problems[unit];
            log_warning(unit + ", which the seal stopped, was not started again: " + why +
                        "; see systemctl status " + unit);
            failed.insert(failed.begin(), unit);
        }
    }
    std::error_code ignored;  // it may be absent
    std::filesystem::remove(kStoppedUnitsFile, ignored);
    remember_stopped(kStoppedUnitsFile, failed);
    if (invocation.quiet) return;
    if (!started.empty()) std::printf("started again: %s\n", joined(started).c_str());
    if (!waiting.empty()) {
        std::printf("still starting: %s (systemctl list-jobs shows what they wait for)\n",
                    joined(waiting).c_str());
    }
}

}  // namespace prebake::cli
