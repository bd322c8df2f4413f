#include "agent/identity/services.h"

#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <set>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/text.h"
#include "agent/identity/attempted_step.h"
#include "agent/identity/item.h"

namespace prebake::identity {
namespace {

/// By default systemd kills a unit that has not stopped after 90 seconds (systemd-system.conf(5)).
constexpr std::chrono::seconds kStopLimit{150};
constexpr std::chrono::seconds kAskLimit{30};
constexpr std::size_t kMaxListing = 4UL << 20;
constexpr std::size_t kMaxKernelText = 1UL << 20;
constexpr const char* kJournald = "systemd-journald.service";

/// Units that belong to no item. In each stage they stop after those of the items.
constexpr std::array kOtherUnits{
    // Writes the claim, as we do.
    Unit{"prebake-online.service", StopStage::prebake},
    // Starts containers, and writes their state while it runs.
    Unit{"prebaked.socket", StopStage::prebake},
    Unit{"prebaked.service", StopStage::prebake},
    Unit{"podman-auto-update.timer", StopStage::orchestrators},
    Unit{"crio.service", StopStage::containerd},
    Unit{"soci-snapshotter.socket", StopStage::containerd},
    Unit{"soci-snapshotter.service", StopStage::containerd},
    Unit{"stargz-snapshotter.service", StopStage::containerd},
    Unit{"nydus-snapshotter.service", StopStage::containerd},
    Unit{"cfengine3.service", StopStage::managers},
    // Caches and indexes. Not a running upgrade (apt-daily-upgrade.service): stopping it would
    // leave
    // packages half installed.
    Unit{"motd-news.timer", StopStage::jobs},
    Unit{"update-notifier-*.timer", StopStage::jobs},
    Unit{"dpkg-db-backup.timer", StopStage::jobs},
    Unit{"man-db.timer", StopStage::jobs},
    Unit{"*locate-updatedb.timer", StopStage::jobs},
    Unit{"*locate.timer", StopStage::jobs},
    // They run any job.
    Unit{"anacron.timer", StopStage::jobs},
    Unit{"anacron.service", StopStage::jobs},
    Unit{"cron.service", StopStage::jobs},
    Unit{"crond.service", StopStage::jobs},
    Unit{"snmpd.service", StopStage::daemons},
    Unit{"systemd-timesyncd.service", StopStage::daemons},
};

/// All units to stop, stage after stage.
std::vector<Unit> units_to_stop() {
    std::vector<Unit> units;
    for (const Item& item : items())
        units.insert(units.end(), item.written_by.begin(), item.written_by.end());
    units.insert(units.end(), kOtherUnits.begin(), kOtherUnits.end());
    std::stable_sort(units.begin(), units.end(),
                     [](const Unit& a, const Unit& b) { return a.stage < b.stage; });
    return units;
}

bool is_to_stop(StopStage stage, const ServicesToStop& services) {
    switch (stage) {
        case StopStage::prebake:
        case StopStage::orchestrators:
        case StopStage::managers:
        case StopStage::jobs:
        case StopStage::daemons:
        case StopStage::loggers:
            return true;
        case StopStage::docker:
            return services.docker == WhenSealing::stop;
        case StopStage::containerd:
            return services.containerd == WhenSealing::stop;
        case StopStage::ssm_agent:
            return services.ssm_agent == WhenSealing::stop;
    }
    return false;
}

StopPhase phase_of(StopStage stage) {
    return stage <= StopStage::orchestrators ? StopPhase::orchestrators : StopPhase::writers;
}

StopStep step_for(const Unit& unit, const std::string& name) {
    const std::string verb = unit.by == StopBy::kill ? "kill" : "stop";
    return {verb + " " + name, {"systemctl", verb, "--", name}};
}

/// As systemd's own programs check it: PID 1 has another root directory.
bool is_in_chroot() {
    struct stat init {};
    struct stat here {};
    // Without /proc no machine has booted here. Without permission to read it, one may have.
    if (::stat("/proc/1/root/.", &init) != 0) return errno == ENOENT;
    if (::stat("/", &here) != 0) return false;
    return init.st_dev != here.st_dev || init.st_ino != here.st_ino;
}

/// The kernel writes blanks in a path as "\040".
std::string without_escapes(std::string_view word) {
    constexpr std::size_t kDigits = 3;
    const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
    std::string text;
    for (std::size_t at = 0; at < word.size(); ++at) {
        const std::string_view digits = word.substr(at + 1, kDigits);
        if (word[at] != '\\' || digits.size() < kDigits ||
            !std::all_of(digits.begin(), digits.end(), is_octal)) {
            text += word[at];
            continue;
        }
        text += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + digits[2] - '0');
        at += kDigits;
    }
    return text;
}

}  // namespace

std::vector<StopStep> stop_steps(StopPhase phase, const std::vector<std::string>& active_units,
                                 const ServicesToStop& services) {
    const std::set<std::string> active(active_units.begin(), active_units.end());
    if (phase == StopPhase::journal) {
        if (active.count(kJournald) == 0) return {};
        return {{"journald gives up /var", {"journalctl", "--relinquish-var"}}};
    }
    std::set<std::string> planned;
    std::vector<StopStep> steps;
    for (const Unit& unit : units_to_stop()) {
        if (phase_of(unit.stage) != phase || !is_to_stop(unit.stage, services)) continue;
        const std::string pattern(unit.name);
        for (const std::string& name : active) {
            const bool is_meant = ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
            if (is_meant && planned.insert(name).second) steps.push_back(step_for(unit, name));
        }
    }
    return steps;
}

std::vector<std::string> units_in(std::string_view listing) {
    constexpr std::array<std::string_view, 4> kSuffixes{".service", ".socket", ".timer", ".path"};
    const auto is_unit = [&](std::string_view word) {
        return std::any_of(kSuffixes.begin(), kSuffixes.end(),
                           [&](std::string_view suffix) { return word.ends_with(suffix); });
    };
    std::vector<std::string> units;
    for (std::string_view line : lines_of(listing)) {
        // Of a job, the first word is its number. Messages appear between the units, because the
        // output has both streams.
        for (int words = 0; words < 2; ++words) {
            line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ')));
            const std::string_view word = line.substr(0, line.find(' '));
            line.remove_prefix(word.size());
            if (!is_unit(word)) continue;
            if (std::find(units.begin(), units.end(), word) == units.end())
                units.emplace_back(word);
            break;
        }
    }
    return units;
}

std::vector<StopStep> swap_steps(std::string_view proc_swaps) {
    std::vector<StopStep> steps;
    for (const std::string_view line : lines_of(proc_swaps)) {
        const std::size_t path_end = std::min(line.size(), line.find_first_of(" \t"));
        const std::size_t type = line.find_first_not_of(" \t", path_end);
        if (!line.starts_with('/') || type == std::string_view::npos) continue;  // the heading
        if (line.substr(type, line.find_first_of(" \t", type) - type) != "file") continue;
        const std::string path = without_escapes(line.substr(0, path_end));
        steps.push_back({"swapoff " + path, {"swapoff", "--", path}});
    }
    return steps;
}

std::string own_unit_to_stop(std::string_view proc_self_cgroup, const ServicesToStop& services) {
    // Every service on the path counts: stopping one above us ends us, too. cgroups v1 has many
    // lines; one is systemd's, and the others say the same or less.
    constexpr std::string_view kService = ".service";
    std::vector<std::string> own;
    for (const std::string_view line : lines_of(proc_self_cgroup)) {
        std::string_view path = line.substr(std::min(line.size(), line.find('/')));
        while (!path.empty()) {
            path.remove_prefix(1);
            const std::string_view name = path.substr(0, path.find('/'));
            path.remove_prefix(name.size());
            if (name.ends_with(kService)) own.emplace_back(name);
        }
    }
    for (const StopPhase phase : {StopPhase::orchestrators, StopPhase::writers}) {
        const std::vector<StopStep> steps = stop_steps(phase, own, services);
        if (!steps.empty()) return steps.front().arguments.back();
    }
    return {};
}

bool is_managed_by_systemd() {
    struct stat status {};
    return ::stat("/run/systemd/system", &status) == 0 && S_ISDIR(status.st_mode) &&
           !is_in_chroot();
}

void refuse_to_stop_ourselves(const ServicesToStop& services) {
    if (!is_managed_by_systemd()) return;
    const std::string unit =
        own_unit_to_stop(read_file("/proc/self/cgroup", kMaxKernelText), services);
    if (unit.empty()) return;
    throw Error(Errc::failed_precondition, "this command runs in " + unit + ", which sealing stops",
                "use prebake seal --at-shutdown, then power off the machine");
}

std::vector<v1::Step> carry_out(const std::vector<StopStep>& steps, const RunProgram& run) {
    std::vector<v1::Step> done;
    for (const StopStep& step : steps) {
        const Command command{
            .arguments = step.arguments, .environment = {}, .time_limit = kStopLimit};
        done.push_back(
            attempt_step(step.name, "stop it manually, then seal again", [&] { run(command); }));
    }
    return done;
}

namespace {

std::vector<std::string> active_and_queued_units(const std::stop_token& stop) {
    const auto listed = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "systemctl");
        arguments.insert(arguments.end(), {"--plain", "--no-legend", "--no-pager", "--full"});
        return run_or_throw({.arguments = std::move(arguments),
                             .environment = {},
                             .time_limit = kAskLimit,
                             .output_limit = kMaxListing},
                            stop);
    };
    // What waits to start, such as a kubelet for a node that is ready, would do so after the seal.
    // Listed first: what starts in between is active then.
    const std::string queued = listed({"list-jobs"});
    // "activating" is the state of a unit that keeps failing, such as a kubelet without a cluster.
    const std::string active = listed({"list-units", "--type=service,socket,timer,path",
                                       "--state=active,reloading,activating,deactivating"});
    return units_in(queued + "\n" + active);
}

}  // namespace

std::vector<std::string> units_to_stop_now(const std::vector<StopPhase>& phases,
                                           const ServicesToStop& services,
                                           const std::stop_token& stop) {
    std::vector<std::string> units;
    if (!is_managed_by_systemd()) return units;
    const std::vector<std::string> active = active_and_queued_units(stop);
    for (const StopPhase phase : phases) {
        for (const StopStep& step : stop_steps(phase, active, services)) {
            if (phase != StopPhase::journal) units.push_back(step.arguments.back());
        }
    }
    return units;
}

std::vector<v1::Step> stop_services(StopPhase phase, const ServicesToStop& services,
                                    const std::stop_token& stop) {
    if (!is_managed_by_systemd()) return {};
    std::vector<StopStep> steps;
    const v1::Step asked = attempt_step("list units", "see what systemctl(1) says", [&] {
        steps = stop_steps(phase, active_and_queued_units(stop), services);
    });
    if (asked.outcome() == v1::Step::FAILED) return {asked};
    return carry_out(steps, [&](const Command& command) { run_or_throw(command, stop); });
}

std::vector<v1::Step> switch_swap_files_off(const std::stop_token& stop) {
    // A kernel without swap has no such file.
    if (!is_managed_by_systemd() || ::access("/proc/swaps", F_OK) != 0) return {};
    std::vector<StopStep> steps;
    const v1::Step asked = attempt_step("list swap files", "see /proc/swaps", [&] {
        steps = swap_steps(read_file("/proc/swaps", kMaxKernelText));
    });
    if (asked.outcome() == v1::Step::FAILED) return {asked};
    return carry_out(steps, [&](const Command& command) { run_or_throw(command, stop); });
}

}  // namespace prebake::identity
