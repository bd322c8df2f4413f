#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <stop_token>
#include <string>
#include <string_view>

#include "agent/identity/firstboot/options.h"
#include "agent/machine/metadata.h"
#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity::firstboot {

/// What the steps of a first boot use. Everything in it outlives the step.
struct StepContext {
    const machine::Root& root;
    Stage stage;
    const FirstBootOptions& options;
    const v1::Claim& claim;             ///< CLAIMING
    const machine::Metadata& metadata;  ///< only `instance` if there is no metadata service
    const CrashPoint& crash;            ///< never empty
    const std::stop_token& stop;
};

struct StepResult {
    v1::Step::Outcome outcome = v1::Step::DONE;
    std::string message;
    std::string warning;  ///< for the report; empty: none
};

inline StepResult done(std::string message) {
    return {.outcome = v1::Step::DONE, .message = std::move(message), .warning = {}};
}
inline StepResult delegated_to(std::string whom) {
    return {.outcome = v1::Step::DELEGATED, .message = std::move(whom), .warning = {}};
}

/// The machine was installed in place: it comes from no builder.
inline bool is_in_place(const v1::Claim& claim) {
    return !claim.has_seal() && !claim.has_cloned_from();
}

/// Owned by us (root), also if the replaced file had another owner.
inline machine::FileAttributes our_file(mode_t mode) {
    return {.mode = mode, .uid = ::geteuid(), .gid = ::getegid()};
}

/// Whether systemd has a unit of that name. The first directory that has it decides: a link to
/// /dev/null there masks the unit (systemd.unit(5)).
inline bool has_unit(const machine::Root& root, const std::string& name) {
    for (const char* const place :
         {"/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"}) {
        if (!root.info(place + name)) continue;
        return root.resolved(place + name, machine::LastLink::follow) != "/dev/null";
    }
    return false;
}

// Each step creates what is missing and keeps what is there, so that it can be repeated after a
// crash at any point. Each throws Error if it fails.

StepResult ensure_machine_id(const StepContext& context);
StepResult ensure_ssh_host_keys(const StepContext& context);
/// Online: checks that the owner of the keys has created them.
StepResult check_ssh_host_keys(const StepContext& context);
StepResult ensure_random_seed(const StepContext& context);
StepResult ensure_nvme_ids(const StepContext& context);
StepResult ensure_iscsi_name(const StepContext& context);
StepResult ensure_snakeoil_certificate(const StepContext& context);
StepResult set_host_name(const StepContext& context);
StepResult write_hosts(const StepContext& context);
StepResult ensure_host_certificate(const StepContext& context);
/// Checks that no public identity of the sealed or cloned machine is left.
StepResult prove_identity_changed(const StepContext& context);

}  // namespace prebake::identity::firstboot
