#include "agent/cli/stopped_units.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/cli/log.h"

namespace prebake::cli {
namespace {

constexpr std::size_t kMaxBytes = 1UL << 20;
constexpr const char* kClaimingUnit = "prebake-online.service";
/// As long as systemd itself gives a unit by default.
constexpr std::chrono::seconds kStartLimit{90};

std::string joined(const std::vector<std::string>& units) {
    std::string text;
    for (const std::string& unit : units) text += (text.empty() ? "" : ", ") + unit;
    return text;
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

void start_stopped_units(const Invocation& invocation) {
    std::vector<std::string> units = remembered_units(kStoppedUnitsFile);
    if (units.empty()) return;
    // The last one that stopped starts first.
    std::reverse(units.begin(), units.end());
    std::vector<std::string> started;
    std::vector<std::string> failed;
    for (const std::string& unit : units) {
        try {
            run_or_throw(
                {.arguments = {"systemctl", "start", "--", unit}, .time_limit = kStartLimit},
                invocation.signals.token());
            started.push_back(unit);
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled) throw;
            log_warning(unit + ", which the seal stopped, was not started again: " +
                        error.message() + "; see systemctl status " + unit);
            failed.insert(failed.begin(), unit);
        }
    }
    std::error_code ignored;  // it may be absent
    std::filesystem::remove(kStoppedUnitsFile, ignored);
    remember_stopped(kStoppedUnitsFile, failed);
    if (!invocation.quiet && !started.empty()) {
        std::printf("started again: %s\n", joined(started).c_str());
    }
}

}  // namespace prebake::cli
