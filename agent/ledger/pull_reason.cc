#include "agent/ledger/pull_reason.h"

namespace prebake::ledger {

std::string_view pull_reason(const PullFacts& facts) {
    if (facts.is_baked) {
        if (facts.has_lost_parts) return kGarbageCollected;
        // Nothing was missing: pull policy Always, or a credential check by the kubelet.
        return facts.was_chain_missing ? kSnapshotMissing : kPulledAgain;
    }
    if (facts.is_baked_name) return facts.name.ends_with(":latest") ? kLatestTag : kTagMoved;
    if (facts.is_baked_here) return kOtherName;
    return facts.is_baked_elsewhere ? kOtherNamespace : kNeverListed;
}

}  // namespace prebake::ledger
