#include "agent/identity/services.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "agent/base/error.h"
#include "agent/identity/item.h"

namespace prebake::identity {
namespace {

using Lines = std::vector<std::string>;

constexpr std::string_view kSuffixes[] = {".service", ".socket", ".timer", ".path"};

const Lines kEverything{
    "amazon-ssm-agent.service",
    "auditd.service",
    "chronyd.service",
    "containerd.service",
    "cron.service",
    "dbus.service",
    "docker.service",
    "docker.socket",
    "ecs.service",
    "kubelet.service",
    "NetworkManager.service",
    "nodeadm-run.service",
    "prebake-seal.service",
    "rsyslog.service",
    "snap.amazon-ssm-agent.amazon-ssm-agent.service",
    "snapd.service",
    "ssh.service",
    "sshd.service",
    "ssh.socket",
    "syslog.socket",
    "systemd-journald.service",
    "systemd-logind.service",
    "systemd-networkd.service",
    "systemd-random-seed.service",
    "systemd-resolved.service",
    "tailscaled.service",
};

/// The names of all steps, phases separated.
Lines steps_for(const Lines& active, const ServicesToStop& services) {
    Lines names;
    for (const StopPhase phase :
         {StopPhase::orchestrators, StopPhase::writers, StopPhase::journal}) {
        for (const StopStep& step : stop_steps(phase, active, services)) names.push_back(step.name);
        names.emplace_back("--");
    }
    return names;
}

TEST_CASE("what is stopped, and in which order") {
    struct Row {
        const char* name;
        Lines active;
        ServicesToStop services;
        Lines steps;
    };
    const Row rows[] = {
        {"nothing runs", {}, {}, {"--", "--", "--"}},
        {"nothing of ours runs", {"dbus.service", "getty@tty1.service"}, {}, {"--", "--", "--"}},
        {"by default",
         kEverything,
         {},
         {"stop nodeadm-run.service", "stop kubelet.service", "stop ecs.service", "--",
          "stop cron.service", "stop systemd-random-seed.service", "stop chronyd.service",
          "stop syslog.socket", "stop rsyslog.service", "kill auditd.service",
          "stop amazon-ssm-agent.service", "stop snap.amazon-ssm-agent.amazon-ssm-agent.service",
          "--", "journald gives up /var", "--"}},
        {"runtimes too, the socket before its service, and not the agent",
         {"amazon-ssm-agent.service", "containerd.service", "docker.service", "docker.socket",
          "kubelet.service"},
         {WhenSealing::stop, WhenSealing::stop, WhenSealing::keep_running},
         {"stop kubelet.service", "--", "stop docker.socket", "stop docker.service",
          "stop containerd.service", "--", "--"}},
        {"docker alone",
         {"containerd.service", "docker.service", "snap.docker.dockerd.service"},
         {WhenSealing::keep_running, WhenSealing::stop, WhenSealing::stop},
         {"--", "stop docker.service", "stop snap.docker.dockerd.service", "--", "--"}},
        {"timers before what they start",
         {"apt-daily.service", "apt-daily.timer", "apt-daily-upgrade.service",
          "apt-daily-upgrade.timer", "chef-client.service", "chef-client.timer"},
         {},
         {"--", "stop chef-client.timer", "stop chef-client.service", "stop apt-daily.timer",
          "stop apt-daily-upgrade.timer", "stop apt-daily.service", "--", "--"}},
        {"a first boot under way goes first; CRI-O with containerd, etcd always",
         {"crio.service", "etcd.service", "kubelet.service", "prebake-online.service"},
         {WhenSealing::stop, WhenSealing::keep_running, WhenSealing::stop},
         {"stop prebake-online.service", "stop kubelet.service", "--", "stop crio.service",
          "stop etcd.service", "--", "--"}},
        {"CRI-O stays with containerd", {"crio.service"}, {}, {"--", "--", "--"}},
        {"one unit, one step",
         {"kubelet.service", "kubelet.service"},
         {},
         {"stop kubelet.service", "--", "--", "--"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(steps_for(row.active, row.services) == row.steps);
    }
    const std::vector<StopStep> killed = stop_steps(StopPhase::writers, {"auditd.service"}, {});
    REQUIRE(killed.size() == 1);
    CHECK(killed.front().arguments == Lines{"systemctl", "kill", "--", "auditd.service"});
}

bool is_trigger(std::string_view unit) {
    return !unit.ends_with(".service");
}

/// "chef-client" for chef-client.timer.
std::string_view without_suffix(std::string_view unit) {
    return unit.substr(0, unit.rfind('.'));
}

TEST_CASE("the units of the items") {
    Lines units;
    for (const Item& item : items()) {
        for (const Unit& unit : item.written_by) {
            CAPTURE(item.name);
            CAPTURE(unit.name);
            const bool is_unit =
                std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                            [&](std::string_view suffix) { return unit.name.ends_with(suffix); });
            CHECK(is_unit);
            // A pattern matches itself, if its wildcards do: it stands for an active unit here.
            units.emplace_back(unit.name);
        }
    }
    const ServicesToStop all{WhenSealing::stop, WhenSealing::stop, WhenSealing::stop};
    Lines stopped;
    for (const StopPhase phase : {StopPhase::orchestrators, StopPhase::writers}) {
        for (const StopStep& step : stop_steps(phase, units, all))
            stopped.push_back(step.arguments.back());
    }
    const auto place_of = [&](std::string_view unit) {
        return std::find(stopped.begin(), stopped.end(), unit) - stopped.begin();
    };
    for (const std::string& unit : units) {
        CAPTURE(unit);
        CHECK(std::count(units.begin(), units.end(), unit) == 1);
        CHECK(std::count(stopped.begin(), stopped.end(), unit) == 1);
        // A socket or a timer would start its service again.
        for (const std::string& other : units) {
            if (without_suffix(other) != without_suffix(unit) || is_trigger(other)) continue;
            if (is_trigger(unit)) CHECK(place_of(unit) < place_of(other));
        }
    }
    const auto stage_of = [](std::string_view name) {
        for (const Item& item : items()) {
            for (const Unit& unit : item.written_by) {
                if (unit.name == name) return unit.stage;
            }
        }
        return StopStage::prebake;
    };
    CHECK(std::is_sorted(
        stopped.begin(), stopped.end(),
        [&](const std::string& a, const std::string& b) { return stage_of(a) < stage_of(b); }));
}

TEST_CASE("the session that seals is never stopped") {
    for (const char* const unit :
         {"sshd.service", "ssh.service", "ssh.socket", "NetworkManager.service",
          "systemd-networkd.service", "systemd-resolved.service", "systemd-logind.service",
          "dbus.service", "tailscaled.service", "zerotier-one.service", "teleport.service",
          "cloud-init.service", "prebake-seal.service", "snapd.service"}) {
        CAPTURE(unit);
        const ServicesToStop all{WhenSealing::stop, WhenSealing::stop, WhenSealing::stop};
        CHECK(stop_steps(StopPhase::orchestrators, {unit}, all).empty());
        CHECK(stop_steps(StopPhase::writers, {unit}, all).empty());
    }
}

TEST_CASE("what systemctl lists") {
    CHECK(units_in("") == Lines{});
    CHECK(units_in("kubelet.service loaded activating auto-restart kubelet\n"
                   "  docker.socket loaded active running Docker Socket\n"
                   "Running in chroot, ignoring request: list-units\n"
                   "a@b\\x2dc.timer loaded active waiting last line") ==
          Lines{"kubelet.service", "docker.socket", "a@b\\x2dc.timer"});
    CHECK(units_in("chrony.service loaded active running chrony\n"
                   "  412 kubelet.service      start waiting\n"
                   "  413 prebake-ready.target start waiting\n"
                   "   12 chrony.service       stop  running\n"
                   "No jobs running.\n") == Lines{"chrony.service", "kubelet.service"});
}

TEST_CASE("a step that fails does not stop the others, a stop request does") {
    const std::vector<StopStep> steps =
        stop_steps(StopPhase::writers, {"chronyd.service", "cron.service", "rsyslog.service"}, {});
    Lines done;
    const std::vector<v1::Step> told = carry_out(steps, [&](const Command& command) {
        done.push_back(command.arguments.back());
        if (command.arguments.back() == "chronyd.service")
            throw Error(Errc::failed_precondition, "it hangs");
    });
    CHECK(done == Lines{"cron.service", "chronyd.service", "rsyslog.service"});
    REQUIRE(told.size() == 3);
    CHECK(told[0].outcome() == v1::Step::DONE);
    CHECK(told[0].has_at());
    CHECK(told[1].name() == "stop chronyd.service");
    CHECK(told[1].outcome() == v1::Step::FAILED);
    CHECK(told[1].problem().message() == "it hangs");
    CHECK(told[1].problem().next_step() != "");
    CHECK(told[2].outcome() == v1::Step::DONE);
    const auto stopped = [](const Command&) { throw Error(Errc::cancelled, "interrupted"); };
    CHECK_THROWS_AS(carry_out(steps, stopped), Error);
}

TEST_CASE("swap files are switched off, partitions are not") {
    const std::vector<StopStep> steps = swap_steps(
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        "/dev/dm-1                               partition\t999\t0\t-2\n"
        "/swapfile                               file\t\t2097148\t\t0\t\t-3\n"
        "/data/my\\040swap\\134 file\t\t1\t0\t-4");
    REQUIRE(steps.size() == 2);
    CHECK(steps[0].name == "swapoff /swapfile");
    CHECK(steps[0].arguments == Lines{"swapoff", "--", "/swapfile"});
    CHECK(steps[1].arguments == Lines{"swapoff", "--", "/data/my swap\\"});
    CHECK(swap_steps("").empty());
    CHECK(swap_steps("/swapfile").empty());
}

TEST_CASE("a unit that we run in ourselves") {
    constexpr ServicesToStop kKeepAgent{.ssm_agent = WhenSealing::keep_running};
    struct Row {
        const char* name;
        const char* cgroup;
        ServicesToStop services;
        const char* unit;
    };
    const Row rows[] = {
        {"a session", "0::/user.slice/user-1000.slice/session-3.scope\n", {}, ""},
        {"a session of sshd's", "0::/system.slice/ssh.service\n", {}, ""},
        {"Run Command",
         "0::/system.slice/amazon-ssm-agent.service\n",
         {},
         "amazon-ssm-agent.service"},
        {"Run Command, whose agent stays", "0::/system.slice/amazon-ssm-agent.service\n",
         kKeepAgent, ""},
        {"a job, with the old cgroups",
         "2:cpu,cpuacct:/\n1:name=systemd:/system.slice/cron.service\n",
         {},
         "cron.service"},
        {"below the unit", "0::/system.slice/kubelet.service/sub/a.scope", {}, "kubelet.service"},
        {"a drop-in of a first boot",
         "0::/system.slice/prebake-online.service",
         {},
         "prebake-online.service"},
        {"nowhere", "0::/\n", {}, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(own_unit_to_stop(row.cgroup, row.services) == row.unit);
    }
}

}  // namespace
}  // namespace prebake::identity
