#include "agent/cli/identity_facts.h"

#include <doctest/doctest.h>

#include "agent/base/json.h"
#include "agent/base/sha256.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::cli {
namespace {

constexpr const char* kState = "/var/lib/prebake";
constexpr const char* kClaim = "/var/lib/prebake/claim.json";
constexpr const char* kHere = "i-0123456789abcdef0";

/// An instance of EC2 that booted from a sealed image.
class Machine {
  public:
    Machine() {
        tree.put("/sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
        tree.put("/sys/class/dmi/id/board_asset_tag", std::string(kHere) + "\n");
        tree.put("/etc/machine-id", "new\n");
        claim.set_schema("prebake.v1.Claim");
        claim.set_state(v1::Claim::CLAIMED);
        claim.mutable_instance()->set_platform("ec2");
        claim.mutable_instance()->set_id(kHere);
        claim.mutable_instance()->set_source("board_asset_tag");
        claim.mutable_seal()->set_salt("salt");
        v1::Fingerprint& sealed = *claim.mutable_seal()->add_fingerprints();
        sealed.set_item("machine-id");
        sealed.set_path("/etc/machine-id");
        sealed.set_hash(sha256_hex("saltold"));
    }
    report::IdentityFacts read() const {
        tree.put(kClaim, to_json(claim, JsonForm::line));
        return read_identity_facts(tree.root(), kState);
    }

    tests::TestTree tree;
    v1::Claim claim;
};

TEST_CASE("a new identity") {
    const report::IdentityFacts facts = Machine().read();
    CHECK(facts.claim.state() == v1::Claim::CLAIMED);
    CHECK(facts.is_this_instance);
    CHECK(facts.builder_identities.empty());
    CHECK(facts.problem.empty());
}

TEST_CASE("the builder's identity is found again") {
    Machine machine;
    machine.tree.put("/etc/machine-id", "old\n");
    CHECK(machine.read().builder_identities == std::vector<std::string>{"/etc/machine-id"});
    SUBCASE("the sealed machine itself may have it") {
        machine.claim.set_unsealed_in_place(true);
    }
    SUBCASE("nothing was sealed to compare with") {
        machine.claim.clear_seal();
    }
    CHECK(machine.read().builder_identities.empty());
}

TEST_CASE("another instance's claim") {
    Machine machine;
    machine.claim.mutable_instance()->set_id("i-0aaaaaaaaaaaaaaaa");
    CHECK_FALSE(machine.read().is_this_instance);
    machine.tree.put("/sys/class/dmi/id/board_asset_tag", "");  // the instance is unknown
    CHECK(machine.read().is_this_instance);
}

TEST_CASE("unreadable files become a problem of the facts") {
    const Machine machine;
    SUBCASE("not JSON") {
        machine.tree.put(kClaim, "{");
    }
    SUBCASE("of a later version") {
        machine.tree.put(kClaim, R"({"schema": "prebake.v2.Claim", "state": "CLAIMED"})");
    }
    SUBCASE("a directory") {
        machine.tree.make_directory(kClaim);
    }
    const report::IdentityFacts facts = read_identity_facts(machine.tree.root(), kState);
    CAPTURE(facts.problem);
    CHECK(facts.problem.find("claim.json") != std::string::npos);
}

TEST_CASE("an unclaimed machine") {
    const tests::TestTree tree;
    const report::IdentityFacts facts = read_identity_facts(tree.root(), kState);
    CHECK(facts.claim.state() == v1::Claim::UNCLAIMED);
    CHECK(facts.problem.empty());
}

}  // namespace
}  // namespace prebake::cli
