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

/// Finds what an item still needs. This one function is what `seal` carries out, `seal --dry-run`
/// prints and `seal --check` counts as residue. Never throws for what it finds: that goes to
/// `problems`. `keep` is what neither seal nor check may touch or count; a directory that holds a
/// kept path is not removed whole: what is beside the kept path is.
Pending survey(const machine::Root& root, const Item& item, const ItemSettings& settings,
               const machine::Patterns& keep);

/// The same for paths of the administrator's own (`[seal] remove`).
Pending survey_paths(const machine::Root& root, const std::vector<std::string>& patterns,
                     const machine::Patterns& keep);

/// Carries out one change. @throws Error as Root's functions do.
void apply(const machine::Root& root, const Change& change);

}  // namespace prebake::identity
