#pragma once

#include <filesystem>
#include <string>

#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

std::filesystem::path ledger_path(const std::filesystem::path& state_dir);

/// The ledger on disk; an empty one if there is none. A file that is not a ledger is renamed to
/// ledger.json.corrupt, and a file of a later version to ledger.json.newer. Then `warning` names
/// it, and the counts start from zero. @throws Error permission_denied, io.
v1::LedgerState read_ledger(const std::filesystem::path& state_dir, std::string& warning);

/// Replaces the file, atomically and durably. @throws Error no_space, permission_denied, io; then
/// the old file is unchanged.
void write_ledger(const std::filesystem::path& state_dir, v1::LedgerState ledger);

}  // namespace prebake::ledger
