#pragma once

#include <string>

#include "agent/machine/root.h"
#include "agent/report/conditions.h"

namespace prebake::cli {

/// Whose identity this machine has, for the node's conditions. Never throws: what cannot be read is
/// in the facts' `problem`.
report::IdentityFacts read_identity_facts(const machine::Root& root, const std::string& state_dir);

}  // namespace prebake::cli
