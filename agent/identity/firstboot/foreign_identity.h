#pragma once

#include <string>

#include "agent/identity/firstboot/step.h"

namespace prebake::identity::firstboot {

/// Names in the journal. Each path or item that could not be removed has its own entry, with the
/// prefix.
inline constexpr const char* kRemoveForeign = "remove-foreign-identity";
inline constexpr const char* kForeignLeftPrefix = "remove-foreign-identity ";

/// Adds hashes of the identities that will be removed to the claim's seal. At its end, first boot
/// proves with them that the identities changed.
void note_foreign_identity(const machine::Root& root, const SealScope& scope, v1::Claim& claim);

struct Removal {
    std::string message;
    std::vector<v1::Step> left;  ///< FAILED, one for each path or item
    int removed = 0;
};

/// Removes what identifies the machine that this one was cloned from (OnClone::renew), and the
/// host's TLS key and certificate. If the journal has paths that could not be removed, removes only
/// those: the others have been created again since.
/// @throws Error cancelled.
Removal remove_foreign_identity(const StepContext& context);

}  // namespace prebake::identity::firstboot
