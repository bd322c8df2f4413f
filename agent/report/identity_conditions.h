#pragma once

#include <string>
#include <vector>

#include "agent/report/judgement.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::report {

/// Who this machine is. cli/ provides it, because this room does not depend on identity/.
struct IdentityFacts {
    v1::Claim claim;
    bool is_this_instance = true;                 ///< the claim belongs to this machine
    std::vector<std::string> builder_identities;  ///< paths that still identify the builder
    std::string problem;  ///< why the claim could not be read; empty: it was read
};

/// IdentityClaimed. Pure.
Judgement judge_claim(const IdentityFacts& identity);

/// SealIntact. Pure.
Judgement judge_seal(const IdentityFacts& identity);

}  // namespace prebake::report
