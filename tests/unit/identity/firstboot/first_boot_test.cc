#include "agent/identity/firstboot/first_boot.h"

#include <doctest/doctest.h>

#include "agent/identity/fingerprints.h"
#include "agent/identity/item.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/identity/firstboot/first_boot_machine.h"

namespace prebake::identity::firstboot::first_boot_test {

using prebake::tests::contains;
using prebake::tests::thrown_by;
using tests::ScriptedMetadata;

constexpr const char* kBuilder = "i-0aaaaaaaaaaaaaaa0";
constexpr const char* kOne = "i-0123456789abcdef0";
constexpr const char* kTwo = "i-0fedcba9876543210";

v1::Instance ec2(const char* id) {
    v1::Instance instance;
    instance.set_platform("ec2");
    instance.set_id(id);
    instance.set_source("metadata");
    return instance;
}

/// As `prebake seal` leaves the claim on `builder`; the files are removed by the caller.
void seal_claim(const Machine& machine, const char* builder) {
    const machine::Root root(machine.path(""));
    v1::Claim claim;
    claim.set_state(v1::Claim::SEALED);
    v1::Seal& seal = *claim.mutable_seal();
    *seal.mutable_by() = ec2(builder);
    seal.set_salt(make_salt());
    for (const auto& fingerprint : take_fingerprints(root, items(), seal.salt())) {
        *seal.add_fingerprints() = fingerprint;
    }
    write_claim(root, machine.options.state_dir, claim);
}

std::string warnings_of(const v1::FirstBootReport& report) {
    std::string all;
    for (const std::string& warning : report.warnings()) all += warning + "\n";
    return all;
}

void check_differ(const std::map<std::string, std::string>& before,
                  const std::map<std::string, std::string>& after) {
    REQUIRE(before.size() == after.size());
    for (const auto& entry : before) {
        CAPTURE(entry.first);
        CHECK(after.at(entry.first) != entry.second);
    }
}

void add_certificate(Machine& machine) {
    machine.options.certificate.key_file = "/etc/prebake/host.key";
    machine.options.certificate.certificate_file = "/etc/prebake/host.crt";
}

TEST_CASE("first boot: a sealed image gets its identity once") {
    Machine machine(kOne);
    add_certificate(machine);
    machine.options.hosts = "{local_ipv4} {hostname} {short_hostname}";
    seal_claim(machine, kBuilder);

    const auto local = machine.boot(Stage::local);
    CHECK(local.schema() == "prebake.v1.FirstBootReport");
    CHECK(local.decision() == "claim");
    CHECK(local.claim().state() == v1::Claim::CLAIMING);
    CHECK(machine.service.calls.empty());  // there is no network yet
    CHECK(machine.get("etc/machine-id").size() == 33);
    CHECK(machine.mode("etc/ssh/ssh_host_ed25519_key") == 0600);
    CHECK(machine.mode("etc/ssh/ssh_host_ed25519_key.pub") == 0644);
    CHECK(!machine.exists("log"));

    const auto online = machine.boot(Stage::online);
    CHECK(online.decision() == "resume");
    CHECK(warnings_of(online) == "");
    const v1::Claim claim = machine.claim();
    CHECK(claim.state() == v1::Claim::CLAIMED);
    CHECK(claim.instance().id() == kOne);
    CHECK(claim.has_claimed_at());
    CHECK(claim.seal().by().id() == kBuilder);
    CHECK(claim.prebake_version() == "1.2.3");
    CHECK(!claim.unsealed_in_place());
    CHECK(!claim.has_cloned_from());
    CHECK(machine.get("etc/hostname") == "ip-10-24-34-0.eu-west-1.compute.internal\n");
    CHECK(contains(machine.get("etc/hosts"),
                   "10.24.34.0 ip-10-24-34-0.eu-west-1.compute.internal ip-10-24-34-0\n"));
    CHECK(machine.get("log") ==
          std::string("10-one ") + kOne + " claim\n20-two " + kOne + " claim\n");
    CHECK(machine.get("etc/nvme/hostnqn") ==
          "nqn.2014-08.org.nvmexpress:uuid:" + machine.get("etc/nvme/hostid"));
    CHECK(machine.identity().size() == 11);
    CHECK(machine.mode("etc/prebake/host.key") == 0600);
    CHECK(machine.mode("etc/prebake/host.crt") == 0644);

    // Rebooted, stopped and started, or out of a warm pool: other addresses, the same machine.
    const auto before = machine.everything();
    machine.service.calls.clear();
    for (const Stage stage : {Stage::local, Stage::online}) {
        const auto again = machine.boot(stage);
        CHECK(again.decision() == "already_claimed");
        CHECK(again.claim().state() == v1::Claim::CLAIMED);
    }
    CHECK(machine.service.calls.empty());
    CHECK(machine.everything() == before);
}

TEST_CASE("first boot: two machines of one sealed image share nothing") {
    Machine image(kBuilder);
    add_certificate(image);
    seal_claim(image, kBuilder);
    Machine one(image, kOne);
    Machine two(image, kTwo);
    one.boot();
    two.boot();
    CHECK(one.claim().state() == v1::Claim::CLAIMED);
    CHECK(two.claim().state() == v1::Claim::CLAIMED);
    check_differ(one.identity(), two.identity());
}

TEST_CASE("first boot: a clone of a booted, unsealed machine gets an identity of its own") {
    Machine original(kOne);
    add_certificate(original);
    original.boot();
    REQUIRE(original.claim().state() == v1::Claim::CLAIMED);

    Machine clone(original, kTwo);
    REQUIRE(clone.identity() == original.identity());
    const auto local = clone.boot(Stage::local);
    CHECK(local.decision() == "clone_of_unsealed");
    CHECK(local.claim().cloned_from().id() == kOne);
    // Before any service could show them.
    for (const auto& entry : clone.identity()) CHECK(entry.second != original.get(entry.first));
    const auto online = clone.boot(Stage::online);
    CHECK(warnings_of(online) == "");
    CHECK(clone.claim().state() == v1::Claim::CLAIMED);
    CHECK(clone.claim().instance().id() == kTwo);
    CHECK(clone.claim().seal().fingerprints_size() > 0);
    check_differ(original.identity(), clone.identity());
    CHECK(clone.runs_of(std::string("10-one ") + kTwo + " clone_of_unsealed") == 1);

    const auto before = clone.everything();
    CHECK(clone.boot().decision() == "already_claimed");
    CHECK(clone.everything() == before);

    Machine third(clone, "i-0bbbbbbbbbbbbbbb0");
    third.boot();
    CHECK(third.claim().state() == v1::Claim::CLAIMED);
    CHECK(third.claim().cloned_from().id() == kTwo);
    check_differ(clone.identity(), third.identity());
    check_differ(original.identity(), third.identity());
}

TEST_CASE("first boot: a clone of an unsealed builder, or of an interrupted first boot") {
    for (const v1::Claim::State state : {v1::Claim::UNCLAIMED, v1::Claim::CLAIMING}) {
        Machine original(kOne);
        original.boot();
        v1::Claim claim;
        claim.set_state(state);
        *(state == v1::Claim::UNCLAIMED ? claim.mutable_builder() : claim.mutable_instance()) =
            ec2(kOne);
        const machine::Root root(original.path(""));
        write_claim(root, original.options.state_dir, claim);
        Machine clone(original, kTwo);
        CHECK(clone.boot(Stage::local).decision() == "clone_of_unsealed");
        clone.boot(Stage::online);
        CHECK(clone.claim().state() == v1::Claim::CLAIMED);
        CHECK(clone.claim().cloned_from().id() == kOne);
        check_differ(original.identity(), clone.identity());
    }
}

TEST_CASE("first boot: on an installed machine what is there stays") {
    Machine machine(kOne);
    machine.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0444);
    machine.put("etc/hostname", "pet\n");
    machine.put("etc/ssh/ssh_host_ecdsa_key", "the administrator's own\n", 0640);
    machine.put("etc/nvme/hostid", "4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11\n");
    const machine::Root root(machine.path(""));
    note_builder(root, machine.options.state_dir, ec2(kOne));
    const auto report = machine.boot();
    CHECK(report.claim().state() == v1::Claim::CLAIMED);
    CHECK(machine.get("etc/machine-id") == "0123456789abcdef0123456789abcdef\n");
    CHECK(machine.get("etc/hostname") == "pet\n");
    CHECK(machine.get("etc/ssh/ssh_host_ecdsa_key") == "the administrator's own\n");
    CHECK(machine.mode("etc/ssh/ssh_host_ecdsa_key") == 0640);
    CHECK(machine.get("etc/nvme/hostid") == "4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11\n");
    // What was missing fits to it.
    CHECK(machine.get("etc/nvme/hostnqn") ==
          "nqn.2014-08.org.nvmexpress:uuid:4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11\n");
    CHECK_FALSE(machine.exists("etc/ssh/ssh_host_ed25519_key"));  // one type may be a choice
}

TEST_CASE("first boot: what the administrator keeps or skips stays on a clone") {
    Machine original(kOne);
    original.boot();
    Machine clone(original, kTwo);
    clone.options.scope.keep = {"/etc/ssh/ssh_host_ecdsa_key*"};
    clone.options.scope.skip = {"nvme-host"};
    clone.boot();
    CHECK(clone.claim().cloned_from().id() == kOne);
    for (const char* const kept :
         {"etc/ssh/ssh_host_ecdsa_key", "etc/ssh/ssh_host_ecdsa_key.pub", "etc/nvme/hostnqn"}) {
        CAPTURE(kept);
        CHECK(clone.get(kept) == original.get(kept));
    }
    CHECK(clone.get("etc/ssh/ssh_host_ed25519_key") !=
          original.get("etc/ssh/ssh_host_ed25519_key"));
}

TEST_CASE("first boot: a masked key generator creates no keys") {
    for (const bool is_masked : {false, true}) {
        CAPTURE(is_masked);
        Machine machine(kOne);
        machine.put("usr/lib/systemd/system/sshd-keygen@.service", "[Service]\n");
        if (is_masked) {
            std::filesystem::create_directories(machine.path("etc/systemd/system"));
            std::filesystem::create_symlink(
                "/dev/null", machine.path("etc/systemd/system/sshd-keygen@.service"));
        }
        machine.boot();
        CHECK(machine.exists("etc/ssh/ssh_host_ed25519_key") == is_masked);
    }
}

TEST_CASE(
    "first boot: the builder booted after its seal says so, and may get its machine-id again") {
    Machine machine(kBuilder);
    machine.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0444);
    seal_claim(machine, kBuilder);  // the id comes back as systemd derives it from the hardware
    const auto local = machine.boot(Stage::local);
    CHECK(local.decision() == "unsealed_in_place");
    machine.boot(Stage::online);
    CHECK(machine.claim().state() == v1::Claim::CLAIMED);
    CHECK(machine.claim().unsealed_in_place());
    CHECK(machine.get("etc/machine-id") == "0123456789abcdef0123456789abcdef\n");
    CHECK(contains(machine.get("log"), "unsealed_in_place"));
}

TEST_CASE("first boot: only the network shows that the builder was booted again") {
    Machine machine(kBuilder);
    seal_claim(machine, kBuilder);
    std::filesystem::remove_all(machine.path("sys"));
    CHECK(machine.boot(Stage::local).decision() == "claim");
    machine.boot(Stage::online);
    CHECK(machine.claim().state() == v1::Claim::CLAIMED);
    CHECK(machine.claim().unsealed_in_place());
    CHECK(machine.claim().instance().id() == kBuilder);
}

TEST_CASE("first boot: a machine-id that comes back on another machine is generated again") {
    Machine machine(kOne);
    machine.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0444);
    seal_claim(machine, kBuilder);  // as if /var/lib/dbus/machine-id had brought it back
    machine.boot();
    CHECK(machine.claim().state() == v1::Claim::CLAIMED);
    CHECK(machine.get("etc/machine-id").size() == 33);
    CHECK(machine.get("etc/machine-id") != "0123456789abcdef0123456789abcdef\n");
}

TEST_CASE("first boot: an identity that did not change is a failure that names it") {
    Machine machine(kOne);
    machine.put("etc/ssh/ssh_host_rsa_key", "private\n", 0600);
    machine.put("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAAAB3NzaC1yc2E= root@builder\n");
    seal_claim(machine, kBuilder);
    machine.put("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAAAB3NzaC1yc2E= root@another\n");
    machine.boot();
    const v1::Claim claim = machine.claim();
    CHECK(claim.state() == v1::Claim::CLAIMING);
    REQUIRE(outcome_of(claim, "identity-changed") == v1::Step::FAILED);
    const v1::Problem& problem = step_of(claim, "identity-changed")->problem();
    CHECK(contains(problem.message(), "ssh-host-keys"));
    CHECK(contains(problem.message(), "/etc/ssh/ssh_host_rsa_key.pub"));
    CHECK(!contains(problem.message(), "AAAAB3"));

    std::filesystem::remove(machine.path("etc/ssh/ssh_host_rsa_key.pub"));
    CHECK(machine.boot().decision() == "resume");
    CHECK(machine.claim().state() == v1::Claim::CLAIMED);
    CHECK(machine.runs_of("10-one") == 1);
}

TEST_CASE("first boot: the proof runs again when something ran after it") {
    Machine machine(kOne);
    const std::string sealed = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 root@builder";
    machine.put("etc/ssh/ssh_host_ed25519_key.pub", sealed + "\n");
    seal_claim(machine, kBuilder);
    machine.drop_in("15-restore", "exit 1");
    machine.boot();
    CHECK(outcome_of(machine.claim(), "identity-changed") == v1::Step::DONE);
    machine.drop_in("15-restore", "echo " + sealed + " > '" +
                                      machine.path("etc/ssh/ssh_host_ed25519_key.pub").string() +
                                      "'");
    machine.boot();
    CHECK(outcome_of(machine.claim(), "firstboot.d/15-restore") == v1::Step::DONE);
    CHECK(outcome_of(machine.claim(), "identity-changed") == v1::Step::FAILED);
    CHECK(machine.claim().state() == v1::Claim::CLAIMING);
}

struct Service {
    const char* name;
    ScriptedMetadata::Answer token;
};

TEST_CASE("first boot: a metadata service that misbehaves does not keep the machine from booting") {
    const Service rows[] = {
        {"throttles", ScriptedMetadata::says(503)},
        {"hangs", ScriptedMetadata::fails(Errc::timed_out)},
        {"is switched off", ScriptedMetadata::says(403)},
        {"answers rubbish", ScriptedMetadata::says(200, std::string("\0<html>", 7))},
        {"is not there", ScriptedMetadata::fails(Errc::unavailable)},
    };
    for (const Service& row : rows) {
        CAPTURE(row.name);
        Machine machine(kOne);
        seal_claim(machine, kBuilder);
        machine.service = ScriptedMetadata();
        machine.service.on(std::string("PUT ") + tests::kEc2 + "/api/token", {row.token});
        const auto report = machine.boot();
        CHECK(report.claim().state() == v1::Claim::CLAIMED);
        CHECK(report.claim().instance().id() == kOne);
        CHECK(report.claim().instance().source() == "board_asset_tag");
        CHECK(contains(warnings_of(report), "no instance metadata"));
        // {hostname} has no value: said, and left alone.
        CHECK(contains(step_of(report.claim(), "hostname")->message(), "{hostname}"));
        CHECK(!machine.exists("etc/hostname"));
        CHECK(machine.boot().decision() == "already_claimed");
    }
}

TEST_CASE("first boot: no firmware and no metadata: cloud-init's ID, else unknown and reported") {
    Machine machine("");
    machine.put("run/cloud-init/enabled", "");
    machine.put("var/lib/cloud/data/instance-id", "iid-of-the-original\n");
    machine.put("run/cloud-init/.instance-id", "iid-1\n");
    machine.service = ScriptedMetadata();
    machine.boot();
    CHECK(machine.claim().state() == v1::Claim::CLAIMED);
    CHECK(machine.claim().instance().id() == "iid-1");
    CHECK(machine.claim().instance().source() == "cloud-init");
    CHECK(!machine.claim().instance_unknown());
    machine.service.calls.clear();
    CHECK(machine.boot(Stage::local).decision() == "deferred");
    CHECK(machine.boot(Stage::online).decision() == "already_claimed");
    CHECK(machine.service.calls.empty());
    const auto before = machine.identity();
    machine.put("run/cloud-init/.instance-id", "iid-2\n");
    const auto clone = machine.boot(Stage::online);
    CHECK(clone.decision() == "clone_of_unsealed");
    CHECK(contains(warnings_of(clone), "reboot"));
    check_differ(before, machine.identity());

    Machine unknown("");
    unknown.service = ScriptedMetadata();
    const auto report = unknown.boot();
    CHECK(unknown.claim().state() == v1::Claim::CLAIMED);
    CHECK(unknown.claim().instance_unknown());
    CHECK(contains(warnings_of(report), "neither"));
    unknown.service.calls.clear();
    for (const Stage stage : {Stage::local, Stage::online})
        CHECK(unknown.boot(stage).decision() == "already_claimed");
    CHECK(unknown.service.calls.empty());

    // Known now: kept, and recorded so that a clone is detected from now on.
    const auto kept = unknown.identity();
    unknown.become(kOne);
    CHECK(unknown.boot(Stage::local).decision() == "already_claimed");
    CHECK(unknown.claim().instance().id() == kOne);
    CHECK(!unknown.claim().instance_unknown());
    CHECK(unknown.identity() == kept);
    CHECK(Machine(unknown, kTwo).boot(Stage::local).decision() == "clone_of_unsealed");
}

TEST_CASE("first boot: where only the network knows the machine, the early stage waits for it") {
    Machine machine(kOne);
    machine.boot();
    std::filesystem::remove_all(machine.path("sys"));
    const auto before = machine.everything();
    CHECK(machine.boot(Stage::local).decision() == "deferred");
    CHECK(machine.everything() == before);
    CHECK(machine.boot(Stage::online).decision() == "already_claimed");

    // It does not answer today: the identity is kept.
    const ScriptedMetadata working = machine.service;
    machine.service = ScriptedMetadata();
    CHECK(machine.boot(Stage::online).decision() == "already_claimed");
    CHECK(machine.everything() == before);

    machine.service = working;
    Machine clone(machine, kTwo);
    std::filesystem::remove_all(clone.path("sys"));
    CHECK(clone.boot(Stage::local).decision() == "deferred");
    const auto report = clone.boot(Stage::online);
    CHECK(report.decision() == "clone_of_unsealed");
    CHECK(clone.claim().state() == v1::Claim::CLAIMED);
    CHECK(contains(warnings_of(report), "reboot"));
    check_differ(machine.identity(), clone.identity());
}

TEST_CASE("first boot: the online stage alone does everything") {
    Machine machine(kOne);
    seal_claim(machine, kBuilder);
    CHECK(machine.boot(Stage::online).decision() == "claim");
    CHECK(machine.claim().state() == v1::Claim::CLAIMED);
    CHECK(machine.identity().size() == 9);
}

TEST_CASE("first boot: a drop-in that fails stops no other, and is retried at the next boot") {
    Machine machine(kOne);
    machine.drop_in("15-bad", "echo 'no \xff luck' >&2; exit 3");
    machine.drop_in("30-writable");
    std::filesystem::permissions(machine.path("etc/prebake/firstboot.d/30-writable"),
                                 std::filesystem::perms::all);
    const auto report = machine.boot();
    CHECK(contains(warnings_of(report), "30-writable"));
    CHECK(report.claim().state() == v1::Claim::CLAIMING);
    CHECK(outcome_of(report.claim(), "firstboot.d/15-bad") == v1::Step::FAILED);
    const v1::Problem& problem = step_of(report.claim(), "firstboot.d/15-bad")->problem();
    CHECK(contains(problem.message(), "ended with status 3"));
    // What a program prints may be a secret, and the claim is for everybody to read.
    CHECK_FALSE(contains(machine.get("var/lib/prebake/claim.json"), "luck"));
    CHECK(contains(machine.get("run/prebake/15-bad.log"), "luck"));
    CHECK(machine.runs_of("20-two") == 1);

    const auto identity = machine.identity();
    machine.boot();
    CHECK(machine.runs_of("15-bad") == 2);
    machine.drop_in("15-bad");
    machine.boot();
    CHECK(machine.claim().state() == v1::Claim::CLAIMED);
    machine.boot();
    CHECK(machine.runs_of("15-bad") == 3);
    CHECK(machine.runs_of("10-one") == 1);
    CHECK(machine.runs_of("20-two") == 1);
    CHECK(machine.runs_of("30-writable") == 0);
    CHECK(machine.identity() == identity);
}

TEST_CASE("first boot: a failing drop-in that is removed does not block the claim") {
    Machine machine(kOne);
    machine.drop_in("15-bad", "exit 1");
    machine.boot();
    CHECK(machine.claim().state() == v1::Claim::CLAIMING);
    std::filesystem::remove(machine.path("etc/prebake/firstboot.d/15-bad"));
    machine.boot();
    CHECK(machine.claim().state() == v1::Claim::CLAIMED);
}

TEST_CASE("first boot: drop-ins get the facts of the instance") {
    Machine machine(kOne);
    machine.drop_in("10-one",
                    "env | grep ^PREBAKE_ | sort > '" + machine.path("env").string() + "'");
    machine.boot();
    const std::string environment = machine.get("env");
    for (const char* const line :
         {"PREBAKE_INSTANCE_ID=i-0123456789abcdef0\n", "PREBAKE_PLATFORM=ec2\n",
          "PREBAKE_REGION=eu-west-1\n", "PREBAKE_ZONE=eu-west-1a\n",
          "PREBAKE_ACCOUNT=123456789012\n", "PREBAKE_INSTANCE_TYPE=m5.large\n",
          "PREBAKE_IMAGE_ID=ami-0123456789abcdef0\n",
          "PREBAKE_HOSTNAME=ip-10-24-34-0.eu-west-1.compute.internal\n",
          "PREBAKE_LOCAL_IPV4=10.24.34.0\n", "PREBAKE_DECISION=claim\n",
          "PREBAKE_STATE_DIR=/var/lib/prebake\n"}) {
        CHECK(contains(environment, line));
    }
}

TEST_CASE("first boot: a claim that cannot be read is set aside and reported") {
    Machine machine(kOne);
    machine.put("var/lib/prebake/claim.json", "{");
    const auto report = machine.boot(Stage::local);
    CHECK(report.decision() == "claim");
    CHECK(contains(warnings_of(report), "claim.json.corrupt"));
    CHECK(machine.get("var/lib/prebake/claim.json.corrupt") == "{");
}

TEST_CASE("first boot: one at a time, and it ends on a stop request") {
    Machine machine(kOne);
    {
        const FileLock lock(machine.path("var/lib/prebake/firstboot.lock"));
        CHECK(thrown_by([&] { machine.boot(); }).code() == Errc::conflict);
    }
    std::stop_source source;
    const CrashPoint stop_there = [&](std::string_view name) {
        if (name == "ssh-host-keys:journalled") source.request_stop();
    };
    const machine::Root root(machine.path(""));
    CHECK(thrown_by([&] {
              first_boot(root, Stage::local, machine.options, nullptr, stop_there,
                         source.get_token());
          }).code() == Errc::cancelled);
    CHECK(machine.claim().state() == v1::Claim::CLAIMING);
    CHECK(outcome_of(machine.claim(), "ssh-host-keys") == v1::Step::DONE);
    CHECK(outcome_of(machine.claim(), "nvme-ids") == v1::Step::OUTCOME_UNSPECIFIED);
    const auto identity = machine.identity();
    CHECK(machine.boot().claim().state() == v1::Claim::CLAIMED);
    for (const auto& entry : identity) CHECK(machine.get(entry.first) == entry.second);
}

}  // namespace prebake::identity::firstboot::first_boot_test
