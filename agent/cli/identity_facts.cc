#include "agent/cli/identity_facts.h"

#include "agent/base/error.h"
#include "agent/identity/claim.h"
#include "agent/identity/fingerprints.h"
#include "agent/identity/item.h"
#include "agent/machine/instance.h"

namespace prebake::cli {

report::IdentityFacts read_identity_facts(const machine::Root& root, const std::string& state_dir) {
    report::IdentityFacts facts;
    try {
        facts.claim = identity::read_claim(root, state_dir, facts.problem);
        if (facts.claim.state() != v1::Claim::CLAIMED) return facts;
        const v1::Instance here = machine::identify(machine::read_host_facts(root));
        // If the instances cannot be compared, they count as the same, as in first boot.
        facts.is_this_instance =
            machine::compare(facts.claim.instance(), here) != machine::Sameness::different;
        if (!facts.claim.has_seal() || facts.claim.unsealed_in_place()) return facts;
        for (const v1::Fingerprint& unchanged :
             identity::unchanged_fingerprints(root, identity::items(), facts.claim.seal())) {
            facts.builder_identities.push_back(unchanged.path());
        }
    } catch (const Error& error) {
        facts.problem = error.what();
    }
    return facts;
}

}  // namespace prebake::cli
