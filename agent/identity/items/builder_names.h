#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/machine/root.h"

namespace prebake::identity {

/// A name up to its first dot.
std::string_view first_label(std::string_view name);

/// The names by which a machine is known: its static host name (/etc/hostname) and the last one
/// that cloud-init gave it. Never localhost.
std::vector<std::string> builder_names(const machine::Root& root);

/// True for a name of the builder: one of `names`; the first label of one; one without a domain,
/// with any domain added. Also true for names that clouds derive from an address or an instance ID
/// (ip-10-0-0-5, i-0123456789abcdef0). Pure.
bool names_builder(std::string_view name, const std::vector<std::string>& names);

}  // namespace prebake::identity
