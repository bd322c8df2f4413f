#include "agent/identity/claim.h"

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/base/set_aside.h"
#include "agent/machine/instance.h"

namespace prebake::identity {
namespace {

constexpr const char* kSchema = "prebake.v1.Claim";
/// Enough for hundreds of steps. A larger file was not written by us.
constexpr std::size_t kMaxClaimBytes = 1UL << 20;

std::string path_in(std::string_view state_dir, std::string_view name) {
    return std::string(state_dir) + "/" + std::string(name);
}

v1::Claim unclaimed() {
    v1::Claim claim;
    claim.set_schema(kSchema);
    return claim;
}

v1::Claim parse_claim(const std::string& json, const std::string& origin) {
    refuse_later_schema(schema_in(json), origin,
                        "install that version, or remove the file to claim this machine again");
    v1::Claim claim;
    from_json(json, claim, origin, "");
    if (claim.schema() != kSchema) throw Error(Errc::corrupt, origin + " is not a claim");
    return claim;
}

/// Not settled while the metadata service may still add an ID: on EC2 the instance ID is stable,
/// but the hardware UUID may change when the instance is stopped and started.
bool is_settled(const v1::Instance& before, const v1::Instance& current, Knowledge knowledge) {
    const bool by_uuid_alone = current.source() == "product_uuid" && !before.id().empty() &&
                               before.source() != "product_uuid";
    return knowledge == Knowledge::final || current.platform() != "ec2" ||
           before.platform() != "ec2" || !by_uuid_alone;
}

machine::Sameness sameness(const v1::Instance& before, const v1::Instance& current,
                           Knowledge knowledge) {
    const machine::Sameness found = machine::compare(before, current);
    if (found == machine::Sameness::different && !is_settled(before, current, knowledge)) {
        return machine::Sameness::unknown;
    }
    return found;
}

Decision decide_claimed(machine::Sameness sameness, Knowledge knowledge) {
    switch (sameness) {
        case machine::Sameness::same:
            return Decision::already_claimed;
        case machine::Sameness::different:
            return Decision::clone_of_unsealed;
        case machine::Sameness::unknown:
            break;
    }
    return knowledge == Knowledge::final ? Decision::already_claimed : Decision::deferred;
}

Decision decide_unclaimed(const v1::Instance& builder, const v1::Instance& current,
                          Knowledge knowledge) {
    if (!machine::is_known(builder)) return Decision::claim;
    switch (sameness(builder, current, knowledge)) {
        case machine::Sameness::same:
            return Decision::claim;
        case machine::Sameness::different:
            return Decision::clone_of_unsealed;
        case machine::Sameness::unknown:
            break;
    }
    // Claiming now would forget the builder, and a clone would keep its keys.
    return knowledge == Knowledge::final ? Decision::claim : Decision::deferred;
}

}  // namespace

std::optional<v1::Claim> find_claim(const machine::Root& root, std::string_view state_dir) {
    const std::string path = path_in(state_dir, "claim.json");
    const std::optional<std::string> json = root.read(path, kMaxClaimBytes);
    if (!json) return std::nullopt;
    return parse_claim(*json, root.outside(path).string());
}

v1::Claim read_claim(const machine::Root& root, std::string_view state_dir, std::string& warning) {
    std::string aside = "claim.json";
    try {
        return find_claim(root, state_dir).value_or(unclaimed());
    } catch (const Error& error) {
        // The claim of a later version is not set aside, unlike its counts: this machine has an
        // identity, which it would lose as an unclaimed one.
        const std::string_view ending = ending_aside(error);
        if (ending.empty() || error.code() == Errc::unsupported) throw;
        aside += ending;
        warning =
            error.message() + "; it is kept as " + aside + ", and the machine counts as unclaimed";
    }
    root.rename(path_in(state_dir, "claim.json"), aside);
    return unclaimed();
}

void write_claim(const machine::Root& root, std::string_view state_dir, const v1::Claim& claim) {
    v1::Claim document = claim;
    document.set_schema(kSchema);
    root.write(path_in(state_dir, "claim.json"), to_json(document, JsonForm::indented) + "\n",
               machine::FileAttributes{.mode = 0644, .uid = {}, .gid = {}});
}

std::string_view to_string(Decision decision) {
    switch (decision) {
        case Decision::already_claimed:
            return "already_claimed";
        case Decision::claim:
            return "claim";
        case Decision::clone_of_unsealed:
            return "clone_of_unsealed";
        case Decision::unsealed_in_place:
            return "unsealed_in_place";
        case Decision::resume:
            return "resume";
        case Decision::deferred:
            return "deferred";
    }
    return "unknown";
}

Decision decide(const v1::Claim& claim, const v1::Instance& current, Knowledge knowledge) {
    switch (claim.state()) {
        case v1::Claim::CLAIMED:
            return decide_claimed(sameness(claim.instance(), current, knowledge), knowledge);
        case v1::Claim::CLAIMING:
            return sameness(claim.instance(), current, knowledge) == machine::Sameness::different
                       ? Decision::clone_of_unsealed
                       : Decision::resume;
        case v1::Claim::SEALED:
            return machine::compare(claim.seal().by(), current) == machine::Sameness::same
                       ? Decision::unsealed_in_place
                       : Decision::claim;
        case v1::Claim::UNCLAIMED:
        case v1::Claim_State_Claim_State_INT_MIN_SENTINEL_DO_NOT_USE_:
        case v1::Claim_State_Claim_State_INT_MAX_SENTINEL_DO_NOT_USE_:
            break;
    }
    return decide_unclaimed(claim.builder(), current, knowledge);
}

void note_builder(const machine::Root& root, std::string_view state_dir,
                  const v1::Instance& builder) {
    if (!machine::is_known(builder)) return;
    const std::string path = path_in(state_dir, "firstboot.lock");
    const FileLock lock(root.open_lock(path), root.outside(path));
    std::string warning;
    v1::Claim claim = read_claim(root, state_dir, warning);
    if (claim.state() != v1::Claim::UNCLAIMED) return;
    v1::Instance noted = builder;
    if (machine::is_known(claim.builder())) {
        // The first builder stays: clones of its clones still have its identity.
        if (machine::compare(claim.builder(), builder) != machine::Sameness::same) return;
        noted = machine::merged(claim.builder(), builder);
    }
    if (noted.SerializeAsString() == claim.builder().SerializeAsString()) return;
    *claim.mutable_builder() = noted;
    write_claim(root, state_dir, claim);
}

}  // namespace prebake::identity
