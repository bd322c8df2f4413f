#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/identity/item.h"
#include "agent/machine/named_files.h"
#include "agent/machine/root.h"

namespace prebake::identity {

/// What an item still needs. If there are no changes and no problems, nothing of it is left.
struct Pending {
    Changes changes;
    std::vector<Error> problems;  ///< what could not be read
    /// Links that are not trusted (see machine::Root::resolved_for_change()). They are left alone,
    /// with what is behind them, so that no user can prevent a seal.
    std::vector<Error> not_followed;
};

/// Finds what an item still needs: `seal` carries it out, `seal --dry-run` prints it, and `seal
/// --check` counts it as residue. Problems with files go to `problems` and are not thrown. `kept`
/// is what neither seal nor check may touch or count; a directory that holds a kept path is not
/// removed whole: what is beside the kept path is.
Pending survey(const machine::Root& root, const Item& item, const ItemSettings& settings,
               const machine::NamedFiles& kept);

/// The same for the administrator's own paths (`[seal] remove`).
Pending survey_paths(const machine::Root& root, const std::vector<std::string>& patterns,
                     const machine::NamedFiles& kept);

/// Carries out one change. @throws Error as Root's functions do.
void apply(const machine::Root& root, const Change& change);

}  // namespace prebake::identity
