#pragma once

#include <cstdint>
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

/// At shutdown the services have stopped already, and stopping any would conflict with the
/// shutdown: only swap files are switched off, and journald stops writing to /var.
enum class Occasion { now, shutdown };

struct SealOptions {
    SealScope scope;
    SealMode mode = SealMode::seal;
    Occasion occasion = Occasion::now;
    ServicesToStop services;
    std::string state_dir = "/var/lib/prebake";       ///< inside the root
    std::string drop_in_dir = "/etc/prebake/seal.d";  ///< inside the root; not run for another root
    std::string prebake_version = {};
    std::uint32_t baked_images = 0;  ///< in the bake record
    /// Stops and removes all containers before containerd's files are sealed; may be empty. Called
    /// only if is_managed_by_systemd(). An Error is reported and does not stop the seal.
    std::function<void()> remove_containers = {};
    /// Called after each item; may be empty.
    std::function<void(const v1::SealedItem&)> on_item = {};
};

/// Seals the machine in `root`: stops what would write again (only on the running machine), runs
/// the drop-ins, seals each item, records the seal (claim.json: SEALED, with fingerprints of what
/// was there) and syncs. A failure is reported and does not stop the rest. While the seal runs, the
/// claim is UNCLAIMED. It becomes SEALED only if nothing failed and `only` is empty. A partial seal
/// that removes what first boot must create again also ends the claim. A second seal changes
/// nothing. containerd's and Docker's images and the bake record are never changed.
/// @throws Error conflict (another seal, bake or first boot has locked the state directory), usage
/// (the scope, or no operating system in `root`), failed_precondition (it runs in a unit that it
/// would stop), cancelled.
v1::SealReport seal(const machine::Root& root, const SealOptions& options,
                    const std::stop_token& stop);

}  // namespace prebake::identity
