#pragma once

#include <stop_token>

#include "agent/identity/firstboot/options.h"
#include "agent/machine/metadata.h"
#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity::firstboot {

/// Gives this machine an identity of its own, once. If a call is killed at any point, the next one
/// completes what is missing and repeats nothing that is in the journal. Steps that fail are
/// recorded as FAILED, do not stop the others, and are retried at the next boot. The claim becomes
/// CLAIMED when all steps are done. `metadata` may be null in the local stage.
/// @throws Error conflict (another first boot runs), no_space, io for the claim itself; cancelled.
v1::FirstBootReport first_boot(const machine::Root& root, Stage stage,
                               const FirstBootOptions& options, machine::MetadataClient* metadata,
                               const CrashPoint& crash_point, const std::stop_token& stop);

}  // namespace prebake::identity::firstboot
