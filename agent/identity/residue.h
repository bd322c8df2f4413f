#pragma once

#include <stop_token>
#include <string>

#include "agent/identity/scope.h"
#include "agent/identity/secrets/scan.h"
#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

struct CheckOptions {
    SealScope scope;
    secrets::SearchPlaces search;
    secrets::ScanLimits limits;
    std::string state_dir = "/var/lib/prebake";
};

/// Reports what is left of the builder. Changes nothing. Fails closed: what cannot be read is
/// residue, and so is a claim that is not SEALED or was sealed before this kernel booted.
/// @throws Error usage, cancelled.
v1::ResidueReport check(const machine::Root& root, const CheckOptions& options,
                        const std::stop_token& stop);

}  // namespace prebake::identity
