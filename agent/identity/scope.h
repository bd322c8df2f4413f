#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/item.h"
#include "agent/machine/root.h"

namespace prebake::identity {

/// Which items are worked on, and what the administrator adds. Shared by seal and check.
struct SealScope {
    ItemSettings settings;
    std::vector<std::string> only;    ///< names; empty: all that are on by default
    std::vector<std::string> skip;    ///< names
    std::vector<std::string> also;    ///< names of items that are off by default
    std::vector<std::string> remove;  ///< patterns of the administrator's own
    machine::Patterns keep;

    bool operator==(const SealScope&) const = default;
};

/// What `scope.remove` is called among the items of a report.
inline constexpr std::string_view kConfiguredPaths = "configured-paths";

/// @throws Error usage for an unknown name (with the nearest known one), an item that is never
/// removed, or a pattern that validate_pattern() refuses.
void validate(const SealScope& scope);

/// Refuses an empty or wrong directory, in which nothing is found and everything seems clean. The
/// running machine is always one. @throws Error usage; permission_denied, io.
void require_machine(const machine::Root& root);

/// What `scope` makes of an item.
enum class Treatment { seal, skip, report };
Treatment treatment_of(const Item& item, const SealScope& scope);

}  // namespace prebake::identity
