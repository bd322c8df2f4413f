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

namespace prebake::identity {
namespace {

/// Units are given 90 seconds to stop by default (systemd-system.conf(5)); then they are killed.
constexpr std::chrono::seconds kStopLimit{150};
constexpr std::chrono::seconds kAskLimit{30};
constexpr std::size_t kMaxListing = 4UL << 20;
constexpr std::size_t kMaxKernelText = 1UL << 20;
constexpr const char* kJournald = "systemd-journald.service";

enum class Part { orchestrator, docker, containerd, other, ssm_agent };
enum class Way { stop, kill };

/// A unit, as fnmatch(3) takes it. What would start a service again (a socket, a timer, a path)
/// stands before it.
struct Row {
    std::string_view unit;
    Part part = Part::other;
    Way way = Way::stop;
};

constexpr std::array kRows{
    // It writes the claim that we write.
    Row{"prebake-online.service", Part::orchestrator},
    // Starts containers and writes their state as long as it runs.
    Row{"prebaked.service", Part::orchestrator},
    Row{"rancher-system-agent.service", Part::orchestrator},
    Row{"nodeadm-*.service", Part::orchestrator},
    Row{"kubelet.service", Part::orchestrator},
    Row{"snap.kubelet*.service", Part::orchestrator},
    Row{"snap.k8s.*.service", Part::orchestrator},
    Row{"k3s.service", Part::orchestrator},
    Row{"k3s-agent.service", Part::orchestrator},
    Row{"rke2-*.service", Part::orchestrator},
    Row{"nomad.service", Part::orchestrator},
    Row{"ecs.service", Part::orchestrator},
    Row{"amazon-ecs-*.socket", Part::orchestrator},
    Row{"amazon-ecs-*.service", Part::orchestrator},
    Row{"podman-auto-update.timer", Part::orchestrator},
    // docker.socket would start docker.service again; that needs containerd.
    Row{"cri-docker.socket", Part::docker},
    Row{"cri-docker.service", Part::docker},
    Row{"docker.socket", Part::docker},
    Row{"docker.service", Part::docker},
    Row{"snap.docker.*.service", Part::docker},
    Row{"containerd.service", Part::containerd},
    Row{"crio.service", Part::containerd},
    Row{"soci-snapshotter.socket", Part::containerd},
    Row{"soci-snapshotter.service", Part::containerd},
    Row{"stargz-snapshotter.service", Part::containerd},
    Row{"nydus-snapshotter.service", Part::containerd},
    // Configuration management: it would put back what is removed, and register the machine.
    Row{"puppet.service"},
    Row{"pxp-agent.service"},
    Row{"mcollective.service"},
    Row{"salt-minion.service"},
    Row{"chef-client.timer"},
    Row{"chef-client.service"},
    Row{"cinc-client.timer"},
    Row{"cinc-client.service"},
    Row{"cfengine3.service"},
    Row{"consul.service"},
    Row{"etcd.service"},
    Row{"osqueryd.service"},
    Row{"codedeploy-agent.service"},
    Row{"rhsmcertd.service"},
    Row{"insights-client*.timer"},
    Row{"insights-client*.path"},
    Row{"ua-timer.timer"},
    Row{"esm-cache.service"},
    // Agents of the clouds that write keys, users and state again.
    Row{"google-guest-agent*.service"},
    Row{"google-osconfig-agent.service"},
    Row{"waagent.service"},
    Row{"walinuxagent.service"},
    // Package managers and indexers, which fill caches by themselves. Not a running upgrade:
    // stopping it would leave packages half installed.
    Row{"apt-daily.timer"},
    Row{"apt-daily-upgrade.timer"},
    Row{"apt-daily.service"},
    Row{"unattended-upgrades.service"},
    Row{"dnf-makecache.timer"},
    Row{"dnf-makecache.service"},
    Row{"dnf-automatic*.timer"},
    Row{"yum-cron.service"},
    Row{"packagekit.service"},
    Row{"motd-news.timer"},
    Row{"update-notifier-*.timer"},
    Row{"dpkg-db-backup.timer"},
    Row{"man-db.timer"},
    Row{"*locate-updatedb.timer"},
    Row{"*locate.timer"},
    // Scheduled jobs.
    Row{"anacron.timer"},
    Row{"anacron.service"},
    Row{"cron.service"},
    Row{"crond.service"},
    Row{"atd.service"},
    Row{"logrotate.timer"},
    // Mail.
    Row{"postfix*.service"},
    Row{"exim4.service"},
    Row{"sendmail.service"},
    // Daemons that save their state when they stop: a drift, a seed, a clock, a record. Stopped
    // now they do so before the files are removed, and not once more at the shutdown.
    Row{"snmpd.service"},
    Row{"sssd*.socket"},
    Row{"sssd.service"},
    Row{"winbind.service"},
    Row{"nmb*.service"},
    Row{"smb*.service"},
    Row{"abrt*.service"},
    Row{"psacct.service"},
    Row{"acct.service"},
    Row{"sysstat-*.timer"},
    Row{"sysstat.service"},
    Row{"pmlogger*.timer"},
    Row{"pmlogger*.service"},
    Row{"chrony.service"},
    Row{"chronyd.service"},
    Row{"ntp.service"},
    Row{"ntpd.service"},
    Row{"ntpsec.service"},
    Row{"systemd-timesyncd.service"},
    Row{"systemd-random-seed.service"},
    Row{"systemd-update-utmp.service"},
    // What writes logs, after all that would still log.
    Row{"amazon-cloudwatch-agent.service"},
    Row{"awslogsd.service"},
    Row{"fluent-bit.service"},
    Row{"td-agent.service"},
    Row{"fluentd.service"},
    Row{"filebeat.service"},
    Row{"vector.service"},
    Row{"promtail.service"},
    Row{"syslog.socket"},
    Row{"rsyslog.service"},
    Row{"syslog-ng*.service"},
    // It refuses to be stopped (RefuseManualStop=), and held open its log would stay on the disk.
    Row{"auditd.service", Part::other, Way::kill},
    // Last of all: a build may be driven through it.
    Row{"amazon-ssm-agent.service", Part::ssm_agent},
    Row{"snap.amazon-ssm-agent.amazon-ssm-agent.service", Part::ssm_agent},
};

bool is_to_stop(Part part, const ServicesToStop& services) {
    switch (part) {
        case Part::orchestrator:
        case Part::other:
            return true;
        case Part::docker:
            return services.docker == Runtime::stop;
        case Part::containerd:
            return services.containerd == Runtime::stop;
        case Part::ssm_agent:
            return services.ssm_agent == Runtime::stop;
    }
    return false;
}

Quiet part_of_quiescing(Part part) {
    return part == Part::orchestrator ? Quiet::orchestrators : Quiet::writers;
}

Quiescing quiescing_of(const Row& row, const std::string& unit) {
    const std::string verb = row.way == Way::kill ? "kill" : "stop";
    return {verb + " " + unit, {"systemctl", verb, "--", unit}};
}

/// As systemd's own programs find out: PID 1 has another root than we.
bool is_in_chroot() {
    struct stat init {};
    struct stat here {};
    // Without /proc it is no machine that has booted; without the right to see it, it may be.
    if (::stat("/proc/1/root/.", &init) != 0) return errno == ENOENT;
    if (::stat("/", &here) != 0) return false;
    return init.st_dev != here.st_dev || init.st_ino != here.st_ino;
}

/// The kernel's way of writing blanks in a path: "\040".
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

/// The lines of a text, the last one with or without its end.

}  // namespace

std::vector<Quiescing> quiescing_steps(Quiet part, const std::vector<std::string>& active_units,
                                       const ServicesToStop& services) {
    const std::set<std::string> active(active_units.begin(), active_units.end());
    if (part == Quiet::journal) {
        if (active.count(kJournald) == 0) return {};
        return {{"journald gives up /var", {"journalctl", "--relinquish-var"}}};
    }
    std::set<std::string> planned;
    std::vector<Quiescing> steps;
    for (const Row& row : kRows) {
        if (part_of_quiescing(row.part) != part || !is_to_stop(row.part, services)) continue;
        for (const std::string& unit : active) {
            const bool is_meant = ::fnmatch(std::string(row.unit).c_str(), unit.c_str(), 0) == 0;
            if (is_meant && planned.insert(unit).second) steps.push_back(quiescing_of(row, unit));
        }
    }
    return steps;
}

std::vector<std::string> units_in(std::string_view listing) {
    constexpr std::array<std::string_view, 4> kSuffixes{".service", ".socket", ".timer", ".path"};
    std::vector<std::string> units;
    while (!listing.empty()) {
        std::string_view line = listing.substr(0, listing.find('\n'));
        listing.remove_prefix(std::min(listing.size(), line.size() + 1));
        line.remove_prefix(std::min(line.size(), line.find_first_not_of(' ')));
        const std::string_view unit = line.substr(0, line.find(' '));
        // Messages stand between the units: both streams come together.
        if (std::any_of(kSuffixes.begin(), kSuffixes.end(),
                        [&](std::string_view suffix) { return unit.ends_with(suffix); }))
            units.emplace_back(unit);
    }
    return units;
}

std::vector<Quiescing> swap_steps(std::string_view proc_swaps) {
    std::vector<Quiescing> steps;
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
    // Every service on the way down: what stops one above us ends us, too. With the old cgroups
    // there are many lines, of which one is systemd's, and the others say the same or less.
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
    for (const Quiet part : {Quiet::orchestrators, Quiet::writers}) {
        const std::vector<Quiescing> steps = quiescing_steps(part, own, services);
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
    throw Error(Errc::failed_precondition,
                "this runs in " + unit + ", which sealing stops, and would end with it",
                "use prebake seal --at-shutdown, then power the machine off");
}

std::vector<v1::Step> carry_out(const std::vector<Quiescing>& steps, const RunProgram& run) {
    std::vector<v1::Step> done;
    for (const Quiescing& step : steps) {
        const Command command{
            .arguments = step.arguments, .environment = {}, .time_limit = kStopLimit};
        done.push_back(
            attempt_step(step.name, "do it by hand, then seal again", [&] { run(command); }));
    }
    return done;
}

std::vector<v1::Step> quiesce(Quiet part, const ServicesToStop& services,
                              const std::stop_token& stop) {
    if (!is_managed_by_systemd()) return {};
    // A unit that fails and is started again and again (a kubelet without a cluster) is activating.
    const Command list{.arguments = {"systemctl", "list-units", "--plain", "--no-legend",
                                     "--no-pager", "--full", "--type=service,socket,timer,path",
                                     "--state=active,reloading,activating,deactivating"},
                       .environment = {},
                       .time_limit = kAskLimit,
                       .output_limit = kMaxListing};
    std::vector<Quiescing> steps;
    const v1::Step asked = attempt_step("list units", "see what systemctl(1) says", [&] {
        steps = quiescing_steps(part, units_in(run_or_throw(list, stop)), services);
    });
    if (asked.outcome() == v1::Step::FAILED) return {asked};
    return carry_out(steps, [&](const Command& command) { run_or_throw(command, stop); });
}

std::vector<v1::Step> switch_swap_files_off(const std::stop_token& stop) {
    // A kernel without swap has no such file.
    if (!is_managed_by_systemd() || ::access("/proc/swaps", F_OK) != 0) return {};
    std::vector<Quiescing> steps;
    const v1::Step asked = attempt_step("list swap files", "see /proc/swaps", [&] {
        steps = swap_steps(read_file("/proc/swaps", kMaxKernelText));
    });
    if (asked.outcome() == v1::Step::FAILED) return {asked};
    return carry_out(steps, [&](const Command& command) { run_or_throw(command, stop); });
}

}  // namespace prebake::identity
