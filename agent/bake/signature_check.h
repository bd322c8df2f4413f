#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/store/verify.h"
#include "agent/trust/policy.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::bake {

struct SignatureCheckOptions {
    std::vector<std::string> namespaces = {};  ///< empty: all of the record
    std::string sandbox = {};                  ///< CRI's name of its sandbox image
};

struct SignatureCheck {
    std::size_t verified = 0;  ///< signatures, each once for each namespace
    std::vector<store::Finding> findings = {};
    std::vector<std::string> notes = {};  ///< what could not be checked, and need not be
};

/// Verifies the signatures of recorded images again, from containerd's store alone: those that
/// `policy` requires, and the recorded ones whose keys it has. Keys that only the builder had are
/// no finding. @throws Error if containerd does not answer; cancelled.
SignatureCheck check_signatures(const v1::BakeRecord& record, const trust::Policy& policy,
                                const containerd::Connection& connection,
                                const SignatureCheckOptions& options);

}  // namespace prebake::bake
