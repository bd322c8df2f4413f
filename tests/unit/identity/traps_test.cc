// The traps A to G that other tools fell into, each checked with the real items.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "agent/identity/claim.h"
#include "agent/identity/fingerprints.h"
#include "agent/identity/seal.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity::traps_test {

using tests::contains;

constexpr const char* kOldId = "ec2f1de0cafe4bad8d0ec1a55e5c0ffe";

/// A machine with systemd. Without it an image needs no machine-id.
void furnish(const tests::TestTree& tree) {
    tree.put("/usr/lib/systemd/systemd", "", 0755);
    tree.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
}

v1::SealReport seal_tree(const tests::TestTree& tree,
                         MachineIdFormat form = MachineIdFormat::empty) {
    SealOptions options;
    options.scope.settings.machine_id = form;
    v1::SealReport report = seal(tree.root(), options, {});
    CHECK(report.failed() == 0);
    return report;
}

v1::Claim claim_of(const tests::TestTree& tree) {
    std::string warning;
    return read_claim(tree.root(), "/var/lib/prebake", warning);
}

/// Every file that holds `text`, or is called so.
std::set<std::string> traces_of(const tests::TestTree& tree, const std::string& text) {
    std::set<std::string> traces;
    for (const auto& [path, contents] : tree.everything()) {
        if (contains(path, text) || contains(contents, text)) traces.insert(path);
    }
    return traces;
}

/// The states that a builder's machine-id is found in.
struct Builder {
    const char* name;
    void (*make)(const tests::TestTree&);
};
const Builder kBuilders[] = {
    {"an id",
     [](const tests::TestTree& tree) {
         tree.put("/etc/machine-id", std::string(kOldId) + "\n", tests::machine_id_mode());
     }},
    {"an id, and the link of dbus",
     [](const tests::TestTree& tree) {
         tree.put("/etc/machine-id", std::string(kOldId) + "\n", tests::machine_id_mode());
         tree.link("/var/lib/dbus/machine-id", "/etc/machine-id");
     }},
    {"an id, and a copy of dbus",
     [](const tests::TestTree& tree) {
         tree.put("/etc/machine-id", std::string(kOldId) + "\n", tests::machine_id_mode());
         tree.put("/var/lib/dbus/machine-id", std::string(kOldId) + "\n");
     }},
    {"dbus alone remembers it",
     [](const tests::TestTree& tree) {
         tree.put("/etc/machine-id", "");
         tree.put("/var/lib/dbus/machine-id", std::string(kOldId) + "\n");
     }},
    {"a link to the copy",
     [](const tests::TestTree& tree) {
         tree.link("/etc/machine-id", "/var/lib/dbus/machine-id");
         tree.put("/var/lib/dbus/machine-id", std::string(kOldId) + "\n");
     }},
    {"empty already", [](const tests::TestTree& tree) { tree.put("/etc/machine-id", ""); }},
    {"missing", [](const tests::TestTree&) {}},
    {"as cloud-init clean --machine-id leaves it",
     [](const tests::TestTree& tree) {
         tree.put("/etc/machine-id", "uninitialized\n", tests::machine_id_mode());
     }},
};

TEST_CASE("trap A: with 'uninitialized' or no file systemd presets all units, so it is emptied") {
    for (const Builder& builder : kBuilders) {
        CAPTURE(builder.name);
        const tests::TestTree tree;
        furnish(tree);
        builder.make(tree);
        seal_tree(tree);
        CHECK(std::filesystem::is_regular_file(
            std::filesystem::symlink_status(tree.at("/etc/machine-id"))));
        CHECK(tree.text("/etc/machine-id") == "");
        CHECK(traces_of(tree, kOldId).empty());

        const tests::TestTree asked;
        furnish(asked);
        builder.make(asked);
        seal_tree(asked, MachineIdFormat::uninitialized);
        CHECK(asked.text("/etc/machine-id") == "uninitialized\n");
        CHECK(traces_of(asked, kOldId).empty());
    }
}

TEST_CASE("trap B: cloud-init clean --machine-id before the seal does not undo it") {
    const tests::TestTree tree;
    furnish(tree);
    tree.put("/etc/machine-id", "uninitialized\n", tests::machine_id_mode());
    seal_tree(tree);
    CHECK(tree.text("/etc/machine-id") == "");
    // Nor between two seals; and "uninitialized" is nobody's identity.
    tree.put("/etc/machine-id", "uninitialized\n", tests::machine_id_mode());
    seal_tree(tree);
    CHECK(tree.text("/etc/machine-id") == "");
    CHECK(claim_of(tree).state() == v1::Claim::SEALED);
    CHECK(claim_of(tree).seal().fingerprints_size() == 0);
}

TEST_CASE("trap C: an instance that derives its ID from its UUID gets the same one again") {
    const tests::TestTree tree;
    furnish(tree);
    const auto boot = [&] {
        tree.put("/etc/machine-id", std::string(kOldId) + "\n", tests::machine_id_mode());
    };
    boot();
    seal_tree(tree);
    boot();
    CHECK(unchanged_fingerprints(tree.root(), items(), claim_of(tree).seal()).size() == 1);
    seal_tree(tree);
    CHECK(tree.text("/etc/machine-id") == "");
    CHECK(claim_of(tree).state() == v1::Claim::SEALED);
    CHECK(claim_of(tree).seal().fingerprints_size() == 1);
}

TEST_CASE("trap D: an existing ID is reset, not only touched; also beneath a mount") {
    const tests::TestTree tree;
    furnish(tree);
    tree.put("/etc/machine-id", std::string(kOldId) + "\n", tests::machine_id_mode());
    tree.put("/run/machine-id", "transient\n");
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        tests::bind(tree.at("/run/machine-id"), tree.at("/etc/machine-id"));
        const v1::SealReport report = seal(tree.root(), {}, {});
        return report.failed() == 0 ? "" : report.ShortDebugString();
    });
    CHECK(found == "");
    CHECK(tree.text("/etc/machine-id") == "");
    CHECK(tree.text("/run/machine-id") == "transient\n");
    CHECK(tree.root().info("/etc/machine-id")->mode == tests::machine_id_mode());
    CHECK(traces_of(tree, kOldId).empty());
}

constexpr const char* kSsm = "/var/lib/amazon/ssm";
constexpr const char* kSsmKey = "MIIEpAIBAAKCAQEAbuilder";
constexpr const char* kInstance = "i-0123456789abcdef0";
constexpr const char* kManagedInstance = "mi-0123456789abcdef0";

void put_ssm_agent(const tests::TestTree& tree) {
    const std::string ssm = kSsm;
    tree.put(ssm + "/Vault/EC2Manifest", R"({"EC2RegistrationKey":"/var/lib/amazon/ssm/Vault"})",
             0600);
    tree.put(ssm + "/Vault/Store/EC2RegistrationKey",
             std::string(R"({"instanceID":")") + kInstance + R"(","region":"eu-central-1",)" +
                 R"("privateKey":")" + kSsmKey + R"(","privateKeyType":"Rsa"})",
             0600);
    tree.put(ssm + "/Vault/Store/InstanceFingerprint",
             R"({"fingerprint":"4f3a","hardwareHash":{"machine-id":"x"}})", 0600);
    tree.put(ssm + "/runtimeconfig/identity_config.json",
             std::string(R"({"SchemaVersion":"1.1","InstanceId":")") + kInstance + "\"}", 0600);
    tree.put(ssm + "/credentials", "[default]\naws_session_token = token\n", 0600);
    tree.put(ssm + "/" + kInstance + "/document/orchestration/1/awsrunShellScript/0/_script.sh",
             "export TOKEN=1\n", 0700);
    tree.put(ssm + "/localcommands/submitted/command.json", "{}");
    tree.put(ssm + "/packages/keep.zip", "package");
    tree.put("/etc/amazon/ssm/seelog.xml", "<seelog/>");
}

TEST_CASE("trap E: the SSM agent would use its old key pair for every clone") {
    const tests::TestTree tree;
    furnish(tree);
    put_ssm_agent(tree);
    seal_tree(tree);
    CHECK_FALSE(tree.has(std::string(kSsm) + "/Vault"));
    CHECK(traces_of(tree, kSsmKey).empty());
    CHECK(traces_of(tree, kInstance).empty());
    CHECK_FALSE(tree.has(std::string(kSsm) + "/credentials"));
    CHECK_FALSE(tree.has(std::string(kSsm) + "/localcommands/submitted/command.json"));
    CHECK(tree.has(std::string(kSsm) + "/packages/keep.zip"));
    CHECK(tree.has("/etc/amazon/ssm/seelog.xml"));
}

TEST_CASE("trap F: a hybrid registration wins over what the instance is") {
    const tests::TestTree tree;
    furnish(tree);
    put_ssm_agent(tree);
    const std::string ssm = kSsm;
    tree.put(ssm + "/registration",
             std::string(R"({"ManagedInstanceID":")") + kManagedInstance +
                 R"(","Region":"eu-central-1"})",
             0600);
    tree.put(ssm + "/Vault/Manifest", R"({"RegistrationKey":"x"})", 0600);
    tree.put(ssm + "/Vault/Store/RegistrationKey",
             std::string(R"({"instanceID":")") + kManagedInstance + "\"}", 0600);
    tree.put(ssm + "/" + kManagedInstance + "/inventory/contentHash/x", "1");
    seal_tree(tree);
    CHECK_FALSE(tree.has(ssm + "/registration"));
    CHECK(traces_of(tree, kManagedInstance).empty());
}

/// The units that a unit file orders itself before.
std::set<std::string> units_after(const std::string& unit) {
    std::ifstream file(std::filesystem::path(PROJECT_SOURCE_DIR) / "systemd" / unit);
    std::set<std::string> units;
    for (std::string line; std::getline(file, line);) {
        constexpr std::string_view kKey = "Before=";
        if (!line.starts_with(kKey)) continue;
        std::istringstream words(line.substr(kKey.size()));
        for (std::string word; words >> word;) units.insert(word);
    }
    return units;
}

TEST_CASE("trap G: an SSM agent that starts too early backs off for minutes") {
    for (const char* unit : {"prebake-firstboot.service", "prebake-online.service"}) {
        CAPTURE(unit);
        const std::set<std::string> after = units_after(unit);
        CHECK(after.count("amazon-ssm-agent.service") == 1);
        CHECK(after.count("snap.amazon-ssm-agent.amazon-ssm-agent.service") == 1);
    }
}

}  // namespace prebake::identity::traps_test
