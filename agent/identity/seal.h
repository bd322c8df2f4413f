#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/scope.h"
#include "agent/identity/services.h"
#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

enum class SealMode { seal, dry_run };

/// At the shutdown of the running machine its services have stopped already, and stopping any would
/// contradict the shutdown itself: only swap files are switched off, and journald leaves /var.
enum class Occasion { now, shutdown };

struct SealOptions {
    SealScope scope;
    SealMode mode = SealMode::seal;
    Occasion occasion = Occasion::now;
    ServicesToStop services;
    std::string state_dir = "/var/lib/prebake";       ///< inside the root
    std::string drop_in_dir = "/etc/prebake/seal.d";  ///< inside the root; not run for another root
    std::string prebake_version = {};
    /// Ends and removes every container before containerd's files are looked at; may be empty. Not
    /// called unless is_managed_by_systemd(). What it throws is reported and stops nothing.
    std::function<void()> remove_containers = {};
    /// Told of each item when it is done; may be empty.
    std::function<void(const v1::SealedItem&)> on_item = {};
};

/// Seals the machine in `root`: stops what would write again (the running machine only), runs the
/// drop-ins, works on every item, records the seal (claim.json: SEALED, with fingerprints of what
/// was there before) and syncs. What fails is reported, and does not stop the rest; the claim
/// becomes SEALED (until then it is UNCLAIMED) only if nothing failed, and if `only` did not leave
/// most of it out. A part that takes what first boot must make again ends the claim, too. Sealing
/// twice changes nothing more. Never touched: containerd's and Docker's
/// images, the bake record.
/// @throws Error conflict (another seal, bake or first boot holds the state directory), usage (the
/// scope, or no operating system in `root`), failed_precondition (run in a unit that it stops),
/// cancelled.
v1::SealReport seal(const machine::Root& root, const SealOptions& options,
                    const std::stop_token& stop);

}  // namespace prebake::identity
