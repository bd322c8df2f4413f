#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/identity/item.h"
#include "agent/machine/named_files.h"
#include "agent/machine/root.h"

namespace prebake::identity {

/// The selected items, and the administrator's own paths. For seal and check.
struct SealScope {
    ItemSettings settings;
    std::vector<std::string> only;    ///< names; empty: all that are on by default
    std::vector<std::string> skip;    ///< names
    std::vector<std::string> also;    ///< names of items that are off by default
    std::vector<std::string> remove;  ///< the administrator's own patterns
    machine::Patterns keep;

    bool operator==(const SealScope&) const = default;
};

/// The name of `scope.remove` among the items of a report.
inline constexpr std::string_view kConfiguredPaths = "configured-paths";

/// The name of `scope.keep` among the items of a report.
inline constexpr std::string_view kKeptPaths = "kept-paths";

/// What `scope.keep` names, and the state directory, which no item may remove.
/// @throws Error permission_denied, io: what is to be kept is not known, so nothing may be removed.
machine::NamedFiles kept_files(const machine::Root& root, const SealScope& scope,
                               const std::string& state_dir);

/// @throws Error usage for an unknown name (with the nearest known one), an item that is never
/// removed, or a pattern that validate_pattern() refuses.
void validate(const SealScope& scope);

/// Checks that `root` holds an operating system. In an empty or wrong directory nothing would be
/// found and everything would seem clean. The running machine always passes. @throws Error usage;
/// permission_denied, io.
void require_machine(const machine::Root& root);

/// What to do with an item in this scope.
enum class Treatment { seal, skip, report };
Treatment treatment_of(const Item& item, const SealScope& scope);

}  // namespace prebake::identity
