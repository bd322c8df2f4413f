#include "agent/base/error.h"
#include "agent/identity/fingerprints.h"
#include "agent/identity/firstboot/step.h"
#include "agent/identity/item.h"

namespace prebake::identity::firstboot {

StepResult prove_identity_changed(const StepContext& context) {
    if (!context.claim.has_seal()) return done("nothing was sealed: nothing to compare with");
    const auto& sealed = context.claim.seal().fingerprints();
    const auto unchanged = unchanged_fingerprints(context.root, items(), context.claim.seal());
    std::string list;
    for (const v1::Fingerprint& fingerprint : unchanged) {
        list += (list.empty() ? "" : ", ") + fingerprint.item() + " (" + fingerprint.path() + ")";
    }
    if (list.empty()) return done(std::to_string(sealed.size()) + " identities are gone");
    // On the same machine systemd derives the same machine-id from the hardware UUID.
    if (context.claim.unsealed_in_place())
        return done("this is the sealed machine; it kept " + list);
    throw Error(Errc::failed_precondition,
                "unchanged since the machine that this one comes from: " + list,
                "remove these files and run prebake firstboot again, or seal the image again");
}

}  // namespace prebake::identity::firstboot
