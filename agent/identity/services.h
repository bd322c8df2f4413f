#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/process.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

enum class Runtime { keep_running, stop };

struct ServicesToStop {
    Runtime containerd = Runtime::keep_running;
    Runtime docker = Runtime::keep_running;
    Runtime ssm_agent = Runtime::stop;

    bool operator==(const ServicesToStop&) const = default;
};

/// A thing to do before files are removed, in order.
struct Quiescing {
    std::string name;                    ///< "stop kubelet.service"
    std::vector<std::string> arguments;  ///< the program to run
};

/// The three parts of quiescing, in order. Containers are removed between the first two (they need
/// their runtime, and nobody who starts them again); at a shutdown only the last one is done.
enum class Quiet {
    orchestrators,  ///< a first boot under way; kubelet, nodeadm, ECS: what starts containers
    writers,  ///< runtimes (by option), then agents and daemons that save state when they stop or
              ///< from time to time (random seed, chrony, rsyslog, cron, ...); the SSM agent last
    journal,  ///< journald gives up /var (journalctl(1), --relinquish-var)
};

/// What must stop so that nothing is written again. Only units among `active_units` appear. Pure.
/// Never sshd nor the network, nor what a session may come through (Tailscale, ZeroTier, Teleport):
/// the session that seals runs over them.
std::vector<Quiescing> quiescing_steps(Quiet part, const std::vector<std::string>& active_units,
                                       const ServicesToStop& services);

/// The units in the output of `systemctl list-units --plain --no-legend`. Pure.
std::vector<std::string> units_in(std::string_view listing);

/// Runs a program to success, as run_or_throw() does.
using RunProgram = std::function<void(const Command&)>;

/// Does `steps` in order. One that fails is reported and does not stop the others.
/// @throws Error cancelled.
std::vector<v1::Step> carry_out(const std::vector<Quiescing>& steps, const RunProgram& run);

/// Switches off each swap file in the text of /proc/swaps: the kernel lets nobody remove one in
/// use, and what a shutdown writes to it later would stay. Swap partitions are left alone. Pure.
std::vector<Quiescing> swap_steps(std::string_view proc_swaps);

/// Which of the units that quiescing stops we run in ourselves, by the text of /proc/self/cgroup:
/// stopping it would end us in the middle. Empty: none. Pure.
std::string own_unit_to_stop(std::string_view proc_self_cgroup, const ServicesToStop& services);

/// True if systemd is the init system and we are not in a chroot, where the units, the swap and the
/// containers would be somebody else's. Where it is false nothing is quiesced.
bool is_managed_by_systemd();

// These three do nothing unless is_managed_by_systemd().

/// @throws Error failed_precondition if quiescing would stop the unit that we run in.
void refuse_to_stop_ourselves(const ServicesToStop& services);

/// Does a part of quiescing on the running machine. @throws Error cancelled.
std::vector<v1::Step> quiesce(Quiet part, const ServicesToStop& services,
                              const std::stop_token& stop);

/// Switches the running machine's swap files off. @throws Error cancelled.
std::vector<v1::Step> switch_swap_files_off(const std::stop_token& stop);

}  // namespace prebake::identity
