#include "agent/identity/residue_text.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kSealIt = "; run prebake seal";

std::string why_seal_is_stale(const v1::Claim& claim, std::string_view boot_id) {
    if (boot_id.empty() || claim.seal().boot_id().empty())
        return "not checked: prebake cannot determine whether it was sealed since it booted";
    if (claim.seal().boot_id() == boot_id) return {};
    return "sealed before this boot, and changed since" + std::string(kSealIt) + " again";
}

std::string name_of(const v1::Instance& instance) {
    return instance.id().empty() ? "an unknown instance" : instance.id();
}

}  // namespace

std::string why_not_sealed(const v1::Claim& claim, Machine machine, std::string_view boot_id) {
    switch (claim.state()) {
        case v1::Claim::SEALED:
            return machine == Machine::image ? std::string() : why_seal_is_stale(claim, boot_id);
        case v1::Claim::CLAIMING:
            return "a first boot of " + name_of(claim.instance()) + " was interrupted" +
                   std::string(kSealIt);
        case v1::Claim::CLAIMED:
            if (claim.unsealed_in_place()) {
                return "unsealed in place: it was booted after it was sealed, and has an identity "
                       "again" +
                       std::string(kSealIt) + " again";
            }
            return "claimed by " + name_of(claim.instance()) + std::string(kSealIt);
        case v1::Claim::UNCLAIMED:
        case v1::Claim_State_Claim_State_INT_MIN_SENTINEL_DO_NOT_USE_:
        case v1::Claim_State_Claim_State_INT_MAX_SENTINEL_DO_NOT_USE_:
            break;
    }
    return "never sealed" + std::string(kSealIt);
}

}  // namespace prebake::identity
