#include "agent/identity/claim.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "agent/base/file.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::identity {
namespace {

using tests::contains;
using tests::thrown_by;

constexpr const char* kState = "/var/lib/prebake";

v1::Instance ec2(const char* id, const char* uuid = "", const char* source = "metadata") {
    v1::Instance instance;
    instance.set_platform("ec2");
    instance.set_id(id);
    instance.set_hardware_uuid(uuid);
    instance.set_source(source);
    return instance;
}

const char* const kOne = "i-0123456789abcdef0";
const char* const kTwo = "i-0fedcba9876543210";
const char* const kUuid = "ec2ae145-d1dc-13b2-94ed-012345abcdef";
const char* const kOtherUuid = "ec2c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11";

struct Machine {
    TemporaryDirectory directory;
    machine::Root root{directory.path()};
    std::string warning;

    std::filesystem::path path(const char* name) const {
        return directory.path() / "var/lib/prebake" / name;
    }
    void put(std::string_view json) const { write_file_durably(path("claim.json"), json, 0644); }
    v1::Claim read() { return read_claim(root, kState, warning); }
};

enum class In { nothing, sealed, claiming, claimed };

/// A claim of `instance` in a state; for `nothing` it is the builder.
v1::Claim claim_of(In state, const v1::Instance& instance) {
    v1::Claim claim;
    switch (state) {
        case In::nothing:
            *claim.mutable_builder() = instance;
            break;
        case In::sealed:
            claim.set_state(v1::Claim::SEALED);
            *claim.mutable_seal()->mutable_by() = instance;
            break;
        case In::claiming:
            claim.set_state(v1::Claim::CLAIMING);
            *claim.mutable_instance() = instance;
            break;
        case In::claimed:
            claim.set_state(v1::Claim::CLAIMED);
            *claim.mutable_instance() = instance;
            break;
    }
    return claim;
}

struct Decided {
    const char* name;
    In state;
    v1::Instance before;
    v1::Instance current;
    Decision preliminary;
    Decision final;
};

TEST_CASE("decide: every state against every machine") {
    const v1::Instance unknown;
    const v1::Instance by_uuid = ec2(kUuid, kUuid, "product_uuid");
    const v1::Instance by_other_uuid = ec2(kOtherUuid, kOtherUuid, "product_uuid");
    using D = Decision;
    const Decided rows[] = {
        {"claimed, same: reboot, stop and start, second boot out of a warm pool", In::claimed,
         ec2(kOne), ec2(kOne), D::already_claimed, D::already_claimed},
        {"claimed, same, by asset tag where metadata told before", In::claimed, ec2(kOne, kUuid),
         ec2(kOne, kOtherUuid, "board_asset_tag"), D::already_claimed, D::already_claimed},
        {"claimed, another", In::claimed, ec2(kOne), ec2(kTwo), D::clone_of_unsealed,
         D::clone_of_unsealed},
        {"claimed, not known who", In::claimed, ec2(kOne), unknown, D::deferred,
         D::already_claimed},
        {"claimed by nobody known", In::claimed, unknown, ec2(kOne), D::deferred,
         D::already_claimed},
        {"claimed, Xen: the UUID is the same", In::claimed, ec2(kOne, kUuid), by_uuid,
         D::already_claimed, D::already_claimed},
        {"claimed, Xen: a changed UUID alone removes nothing while metadata may answer",
         In::claimed, ec2(kOne, kUuid), by_other_uuid, D::deferred, D::clone_of_unsealed},
        {"claimed by UUID, and the UUID is another", In::claimed, by_uuid, by_other_uuid,
         D::clone_of_unsealed, D::clone_of_unsealed},
        {"claiming, same", In::claiming, ec2(kOne), ec2(kOne), D::resume, D::resume},
        {"claiming, another", In::claiming, ec2(kOne), ec2(kTwo), D::clone_of_unsealed,
         D::clone_of_unsealed},
        {"claiming, not known who", In::claiming, ec2(kOne), unknown, D::resume, D::resume},
        {"claiming without knowing for whom", In::claiming, unknown, ec2(kOne), D::resume,
         D::resume},
        {"sealed here", In::sealed, ec2(kOne), ec2(kOne), D::unsealed_in_place,
         D::unsealed_in_place},
        {"sealed elsewhere", In::sealed, ec2(kOne), ec2(kTwo), D::claim, D::claim},
        {"sealed, not known who boots", In::sealed, ec2(kOne), unknown, D::claim, D::claim},
        {"sealed by an unknown machine", In::sealed, unknown, ec2(kOne), D::claim, D::claim},
        {"never claimed, no builder", In::nothing, unknown, ec2(kOne), D::claim, D::claim},
        {"never claimed, nothing known", In::nothing, unknown, unknown, D::claim, D::claim},
        {"never claimed, the builder itself", In::nothing, ec2(kOne), ec2(kOne), D::claim,
         D::claim},
        {"never sealed, a clone of the builder", In::nothing, ec2(kOne), ec2(kTwo),
         D::clone_of_unsealed, D::clone_of_unsealed},
        {"never sealed, not known who boots: asked first", In::nothing, ec2(kOne), unknown,
         D::deferred, D::claim},
    };
    for (const Decided& row : rows) {
        CAPTURE(row.name);
        const v1::Claim claim = claim_of(row.state, row.before);
        CHECK(to_string(decide(claim, row.current, Knowledge::preliminary)) ==
              to_string(row.preliminary));
        CHECK(to_string(decide(claim, row.current, Knowledge::final)) == to_string(row.final));
    }
}

TEST_CASE("claim: none is UNCLAIMED, and a written one can be read") {
    Machine machine;
    CHECK(machine.read().state() == v1::Claim::UNCLAIMED);
    CHECK(machine.warning.empty());

    v1::Claim claim = claim_of(In::claimed, ec2(kOne, kUuid));
    v1::Step* step = claim.add_steps();
    step->set_name("hostname");
    step->set_outcome(v1::Step::DONE);
    write_claim(machine.root, kState, claim);
    struct stat status {};
    REQUIRE(::stat(machine.path("claim.json").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0644);

    const v1::Claim again = machine.read();
    CHECK(machine.warning.empty());
    CHECK(again.schema() == "prebake.v1.Claim");
    claim.set_schema("prebake.v1.Claim");
    CHECK(again.SerializeAsString() == claim.SerializeAsString());
}

TEST_CASE("claim: what cannot be read is set aside, and the machine boots") {
    const std::pair<const char*, std::string> rows[] = {
        {"empty", ""},
        {"cut off", R"({"schema":"prebake.v1.Claim","state":"CLAI)"},
        {"not JSON", std::string("\0\xff\xfe", 3)},
        {"another document", R"({"schema":"prebake.v1.BakeRecord"})"},
        {"no schema", R"({"state":"CLAIMED"})"},
        {"a list", "[]"},
        {"wrong types", R"({"schema":"prebake.v1.Claim","steps":7})"},
        {"schema of no version", R"({"schema":"prebake.vX.Claim"})"},
        {"deep", std::string(100'000, '[')},
        {"large", std::string((1UL << 20) + 1, ' ')},
    };
    for (const auto& row : rows) {
        CAPTURE(row.first);
        Machine machine;
        write_file_durably(machine.path("claim.json.corrupt"), "older", 0644);
        machine.put(row.second);
        CHECK(machine.read().state() == v1::Claim::UNCLAIMED);
        CHECK(contains(machine.warning, "claim.json.corrupt"));
        CHECK(!std::filesystem::exists(machine.path("claim.json")));
        CHECK(read_file(machine.path("claim.json.corrupt"), 2UL << 20) == row.second);

        machine.warning.clear();
        CHECK(machine.read().state() == v1::Claim::UNCLAIMED);
        CHECK(machine.warning.empty());
    }
}

TEST_CASE("claim: a later version's is neither read nor changed") {
    for (const char* const schema : {"prebake.v2.Claim", "prebake.v10.Claim"}) {
        Machine machine;
        const std::string json =
            std::string(R"({"schema":")") + schema + R"(","state":{"is":"otherwise"}})";
        machine.put(json);
        const Error error = thrown_by([&] { machine.read(); });
        CHECK(error.code() == Errc::unsupported);
        CHECK(contains(error.message(), schema));
        CHECK(read_file(machine.path("claim.json"), 1000) == json);
    }
}

TEST_CASE("note_builder: recorded once, completed by the same machine, never over a claim") {
    Machine machine;
    note_builder(machine.root, kState, v1::Instance());
    CHECK(!std::filesystem::exists(machine.path("claim.json")));

    note_builder(machine.root, kState, ec2(kUuid, kUuid, "product_uuid"));
    CHECK(machine.read().builder().id() == kUuid);
    note_builder(machine.root, kState, ec2(kOne, kUuid));
    CHECK(machine.read().builder().id() == kOne);
    // Its clones have the first builder's keys, also if another machine bakes on them.
    note_builder(machine.root, kState, ec2(kTwo, kOtherUuid));
    CHECK(machine.read().builder().id() == kOne);
    CHECK(decide(machine.read(), ec2(kTwo), Knowledge::final) == Decision::clone_of_unsealed);

    for (const In state : {In::sealed, In::claiming, In::claimed}) {
        write_claim(machine.root, kState, claim_of(state, ec2(kOne)));
        const std::string before = read_file(machine.path("claim.json"), 1UL << 20);
        note_builder(machine.root, kState, ec2(kTwo));
        CHECK(read_file(machine.path("claim.json"), 1UL << 20) == before);
    }
}

}  // namespace
}  // namespace prebake::identity
