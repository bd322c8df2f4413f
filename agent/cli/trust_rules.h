#pragma once

#include <filesystem>
#include <vector>

#include "agent/base/toml.h"
#include "agent/trust/policy.h"

namespace prebake::cli {

/// The [[trust]] tables of a configuration file. A relative path of a key starts at the directory
/// of that file.
/// @throws Error usage that names file and line, and for an unknown word the nearest known one.
std::vector<trust::Rule> read_trust_rules(const toml::node& node,
                                          const std::filesystem::path& file);

/// The rules with their keys. A file that other users can change is a problem of its key.
trust::Policy policy_of(const std::vector<trust::Rule>& rules);

}  // namespace prebake::cli
