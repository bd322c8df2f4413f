#include "agent/report/identity_conditions.h"

#include <algorithm>
#include <cstddef>

namespace prebake::report {
namespace {

/// The unit may be started once a boot, and has been.
constexpr const char* kStartFirstBootAgain =
    "systemctl reset-failed prebake-firstboot && systemctl start prebake-firstboot";

Judgement builder_identity_found(const std::vector<std::string>& paths) {
    constexpr std::size_t kNamed = 3;
    std::string named;
    for (std::size_t i = 0; i < std::min(paths.size(), kNamed); ++i) {
        named += (i == 0 ? "" : ", ") + paths[i];
    }
    if (paths.size() > kNamed) named += " and " + std::to_string(paths.size() - kNamed) + " more";
    return {.status = kFalse,
            .reason = "BuilderIdentityFound",
            .message = "what identified the builder is still here: " + named,
            .next_step =
                "seal the builder before its snapshot; on this machine: prebake seal "
                "--check names what to renew, then systemctl reload prebaked"};
}

}  // namespace

Judgement judge_claim(const IdentityFacts& identity) {
    if (!identity.problem.empty()) {
        return {.status = kFalse,
                .reason = "ClaimUnreadable",
                .message = identity.problem,
                .next_step = "prebake firstboot"};
    }
    const auto not_yet = [](const char* reason, const char* message,
                            const std::string& next_step = kStartFirstBootAgain) {
        return Judgement{
            .status = kFalse, .reason = reason, .message = message, .next_step = next_step};
    };
    switch (identity.claim.state()) {
        case v1::Claim::UNCLAIMED:
            return not_yet("NotClaimed", "this machine has not taken an identity of its own",
                           std::string("prebake seal if it is the builder; on a node: ") +
                               kStartFirstBootAgain);
        case v1::Claim::SEALED:
            // Claiming would unseal the builder, and its record does not tell it from a clone of
            // it.
            return not_yet("NotClaimed", "the machine is sealed, and no first boot has run since",
                           std::string("shut it down if it is the builder; on a machine of its "
                                       "image: ") +
                               kStartFirstBootAgain);
        case v1::Claim::CLAIMING:
            return not_yet("ClaimIncomplete", "the first boot has begun and is not complete",
                           "systemctl start prebake-online");
        case v1::Claim::CLAIMED:
            break;
        case v1::Claim_State_Claim_State_INT_MIN_SENTINEL_DO_NOT_USE_:
        case v1::Claim_State_Claim_State_INT_MAX_SENTINEL_DO_NOT_USE_:
            return not_yet("NotClaimed", "the claim is in no known state");
    }
    const std::string& id = identity.claim.instance().id();
    const std::string who = id.empty() ? "this machine" : id;
    if (!identity.is_this_instance) {
        return {.status = kFalse,
                .reason = "AnotherInstance",
                .message = "the identity of this machine is that of " + who,
                .next_step = "prebake firstboot"};
    }
    return {.status = kTrue, .reason = "Claimed", .message = "claimed by " + who};
}

Judgement judge_seal(const IdentityFacts& identity) {
    const v1::Claim& claim = identity.claim;
    if (!identity.problem.empty()) {
        return {.status = kUnknown, .reason = "ClaimUnreadable", .message = identity.problem};
    }
    if (claim.state() == v1::Claim::SEALED) {
        return {.status = kTrue, .reason = "Sealed", .message = "sealed, and not booted since"};
    }
    if (!identity.builder_identities.empty()) {
        return builder_identity_found(identity.builder_identities);
    }
    if (claim.unsealed_in_place()) {
        return {.status = kFalse,
                .reason = "UnsealedInPlace",
                .message = "the sealed machine itself was booted again",
                .next_step = "seal it again before it becomes an image: prebake seal"};
    }
    if (claim.state() != v1::Claim::CLAIMED) {
        return {.status = kUnknown,
                .reason = "NotClaimed",
                .message = "known when this machine has claimed its identity"};
    }
    if (claim.has_cloned_from()) {
        const std::string& id = claim.cloned_from().id();
        return {.status = kTrue,
                .reason = "RenewedClone",
                .message = "cloned from " + (id.empty() ? std::string("a machine") : id) +
                           ", which was not sealed; the identity was renewed on this one"};
    }
    // No gate for a machine that was never sealed: its identity may be its own.
    if (!claim.has_seal()) {
        return {.status = kTrue,
                .reason = "NotSealed",
                .message =
                    "this machine does not come from a sealed image: there is no builder's "
                    "identity to compare with"};
    }
    return {.status = kTrue,
            .reason = "FreshIdentity",
            .message = "nothing identifies this machine as its builder"};
}

}  // namespace prebake::report
