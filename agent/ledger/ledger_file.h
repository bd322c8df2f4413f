#pragma once

#include <filesystem>
#include <string>

#include "proto/prebake/v1/node.pb.h"

namespace prebake::ledger {

std::filesystem::path ledger_path(const std::filesystem::path& state_dir);

/// The ledger on disk; an empty one if there is none. A file that is no ledger, or was written by a
/// later version, is renamed to ledger.json.corrupt, or ledger.json.newer, and named in `warning`:
/// nothing is lost, and counting begins anew. @throws Error permission_denied, io.
v1::Ledger read_ledger(const std::filesystem::path& state_dir, std::string& warning);

/// Atomic and durable. @throws Error no_space, permission_denied, io; the old file is untouched.
void write_ledger(const std::filesystem::path& state_dir, v1::Ledger ledger);

}  // namespace prebake::ledger
