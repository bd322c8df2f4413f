#pragma once

#include <stop_token>

#include "agent/identity/firstboot/options.h"
#include "agent/machine/metadata.h"
#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity::firstboot {

/// Makes this machine itself, once. Idempotent: killed anywhere, the next call completes what is
/// missing and repeats nothing that was journalled. Steps that fail are journalled as FAILED, do
/// not stop the others, and are tried again at the next boot; the claim becomes CLAIMED when all
/// are done. `transport` may be null in the local stage.
/// @throws Error conflict (another first boot runs), no_space, io for the claim itself; cancelled.
v1::FirstBootReport first_boot(const machine::Root& root, Stage stage,
                               const FirstBootOptions& options,
                               machine::MetadataTransport* transport, const CrashPoint& crash_point,
                               const std::stop_token& stop);

}  // namespace prebake::identity::firstboot
