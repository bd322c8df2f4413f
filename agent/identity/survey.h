#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/identity/item.h"

namespace prebake::identity {

/// What is still to be done for an item. Empty in both: nothing of it is left.
struct Pending {
    Changes changes;
    std::vector<Error> problems;  ///< what could not be looked at
};

/// Paths (patterns as in Root::match) that neither seal nor check may touch or count. A directory
/// that holds a kept path is not removed whole: what is beside the kept path is.
using Keep = std::vector<std::string>;

/// Finds what an item still needs. This one function is what `seal` carries out, `seal --dry-run`
/// prints and `seal --check` counts as residue. Never throws for what it finds: that goes to
/// `problems`.
Pending survey(const Root& root, const Item& item, const ItemSettings& settings, const Keep& keep);

/// The same for paths of the administrator's own (`[seal] remove`).
Pending survey_paths(const Root& root, const std::vector<std::string>& patterns, const Keep& keep);

/// Carries out one change. @throws Error as Root's functions do.
void apply(const Root& root, const Change& change);

/// Refuses a pattern that could hit the machine itself or what was baked: it must be absolute or
/// begin with "~/", have two components at least, no "..", and must not name, contain or lie in a
/// directory of containerd's or Docker's images or prebake's own state.
/// @throws Error usage.
void validate_pattern(const std::string& pattern);

}  // namespace prebake::identity
