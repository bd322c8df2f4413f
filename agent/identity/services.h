#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/process.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

enum class WhenSealing { keep_running, stop };

/// What the configuration decides about services. All others that write during a seal are stopped.
struct ServicesToStop {
    WhenSealing containerd = WhenSealing::keep_running;
    WhenSealing docker = WhenSealing::keep_running;
    WhenSealing ssm_agent = WhenSealing::stop;

    bool operator==(const ServicesToStop&) const = default;
};

/// A program to run before files are removed.
struct StopStep {
    std::string name;  ///< "stop kubelet.service"
    std::vector<std::string> arguments;
};

/// The three phases in which services stop, in this order. Containers are removed after the first
/// one: they need their runtime, and nothing may restart them. At a shutdown only the last phase
/// runs.
enum class StopPhase {
    orchestrators,  ///< prebake's own units, then what starts containers (kubelet, nodeadm, ECS)
    writers,  ///< runtimes (if configured), agents, jobs, daemons, loggers; the SSM agent last
    journal,  ///< journald stops writing to /var (journalctl(1), --relinquish-var)
};

/// The steps that stop what would write again: the units of items (Item::written_by), and
/// some that belong to no item. Only units among `active_units` appear. Never sshd or the network,
/// nor what a session may come through (Tailscale, ZeroTier, Teleport): the session that seals runs
/// over them. Pure.
std::vector<StopStep> stop_steps(StopPhase phase, const std::vector<std::string>& active_units,
                                 const ServicesToStop& services);

/// The units in the output of `systemctl list-units` or `list-jobs`, with `--plain --no-legend`;
/// each once. Pure.
std::vector<std::string> units_in(std::string_view listing);

/// Runs a program and throws Error if it fails; see run_or_throw().
using RunProgram = std::function<void(const Command&)>;

/// Runs `steps` in order. A step that fails is reported and does not stop the others.
/// @throws Error cancelled.
std::vector<v1::Step> carry_out(const std::vector<StopStep>& steps, const RunProgram& run);

/// The steps that switch off the swap files in the text of /proc/swaps: the kernel does not remove
/// one that is in use, and data that a shutdown writes to it later would stay. Swap partitions are
/// left alone. Pure.
std::vector<StopStep> swap_steps(std::string_view proc_swaps);

/// The unit that we run in, by the text of /proc/self/cgroup, if stop_steps() would stop it and so
/// end us; else empty. Pure.
std::string own_unit_to_stop(std::string_view proc_self_cgroup, const ServicesToStop& services);

/// True if systemd is the init system and we are not in a chroot, where units, swap and containers
/// would be another machine's. If it is false, nothing is stopped.
bool is_managed_by_systemd();

// These do nothing unless is_managed_by_systemd().

/// The units that stop_services() would stop now, in this order. @throws Error as run_or_throw().
std::vector<std::string> units_to_stop_now(const std::vector<StopPhase>& phases,
                                           const ServicesToStop& services,
                                           const std::stop_token& stop);

/// @throws Error failed_precondition if sealing would stop the unit that we run in.
void refuse_to_stop_ourselves(const ServicesToStop& services);

/// Runs one phase on the running machine. @throws Error cancelled.
std::vector<v1::Step> stop_services(StopPhase phase, const ServicesToStop& services,
                                    const std::stop_token& stop);

/// Switches the running machine's swap files off. @throws Error cancelled.
std::vector<v1::Step> switch_swap_files_off(const std::stop_token& stop);

}  // namespace prebake::identity
