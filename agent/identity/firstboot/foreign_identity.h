#pragma once

#include <string>

#include "agent/identity/firstboot/step.h"

namespace prebake::identity::firstboot {

/// Names in the journal. What could not be removed has an entry of its own: the prefix, and the
/// path or the item.
inline constexpr const char* kRemoveForeign = "remove-foreign-identity";
inline constexpr const char* kForeignLeftPrefix = "remove-foreign-identity ";

/// Hashes of the identities that are here now and are to be removed, added to the seal of the
/// claim: the end of the first boot proves with them that the machine has others.
void note_foreign_identity(const machine::Root& root, const SealScope& scope, v1::Claim& claim);

struct Removal {
    std::string message;
    std::vector<v1::Step> left;  ///< FAILED, one for each path or item
    int removed = 0;
};

/// Removes everything that identifies the machine which this one was cloned from, and comes back
/// (OnClone::renew), and the host's TLS key and certificate. If the journal says that this was done
/// except for some, then only those: the others have been created again since.
/// @throws Error cancelled.
Removal remove_foreign_identity(const StepContext& context);

}  // namespace prebake::identity::firstboot
