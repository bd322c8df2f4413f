#include <doctest/doctest.h>
#include <unistd.h>

#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/identity/firstboot/host_certificate.h"
#include "agent/identity/firstboot/ssh_host_keys.h"
#include "agent/identity/hosts_block.h"
#include "agent/machine/random.h"
#include "agent/machine/text_format.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/identity/firstboot/first_boot_machine.h"

namespace prebake::identity::firstboot {
namespace {

using prebake::tests::contains;

constexpr const char* kId = "0123456789abcdef0123456789abcdef";

std::string message_of(const v1::Claim& claim, const std::string& name) {
    const v1::Step* const step = step_of(claim, name);
    return step == nullptr ? "no such step" : step->message();
}

TEST_CASE("random id: a machine-id and a UUID of version 4") {
    const std::string id = machine::random_id();
    CHECK(id.size() == 32);
    CHECK(machine::is_uuid(machine::format_uuid(id)));
    CHECK(id[12] == '4');
    CHECK(std::string("89ab").find(id[16]) != std::string::npos);
    CHECK(id != machine::random_id());
}

TEST_CASE("ssh host keys: what creates them") {
    struct Row {
        const char* name;
        SshHostKeyFacts facts;
        SshHostKeyOwner owner;
    };
    const Row rows[] = {
        {"no server", {false, true, true}, SshHostKeyOwner::nobody},
        {"Debian alone", {true, false, false}, SshHostKeyOwner::prebake},
        {"Debian with cloud-init", {true, true, false}, SshHostKeyOwner::cloud_init},
        {"Fedora alone", {true, false, true}, SshHostKeyOwner::sshd_keygen},
        {"Fedora with cloud-init: its package switches the unit off",
         {true, true, true},
         SshHostKeyOwner::cloud_init},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(owner_of_ssh_host_keys(row.facts) == row.owner);
    }
}

struct CloudInit {
    const char* name;
    std::map<std::string, std::string> files;
    bool is_active;
};

TEST_CASE("ssh host keys: left to cloud-init if it is active, and created if it created none") {
    const std::string program = "usr/bin/cloud-init";
    const CloudInit rows[] = {
        {"installed", {{program, ""}}, true},
        {"not installed", {}, false},
        {"its generator said yes", {{"run/cloud-init/enabled", ""}}, true},
        {"its generator said no", {{program, ""}, {"run/cloud-init/disabled", ""}}, false},
        {"disabled by file", {{program, ""}, {"etc/cloud/cloud-init.disabled", ""}}, false},
        {"disabled by the kernel's command line",
         {{program, ""}, {"proc/cmdline", "root=/dev/sda1 cloud-init=disabled quiet\n"}},
         false},
        {"a similar word on the command line",
         {{program, ""}, {"proc/cmdline", "xcloud-init=disabled\n"}},
         true},
    };
    for (const CloudInit& row : rows) {
        CAPTURE(row.name);
        Machine machine;
        for (const auto& file : row.files) machine.put(file.first, file.second);
        const auto local = machine.boot(Stage::local);
        CHECK(outcome_of(local.claim(), "ssh-host-keys") ==
              (row.is_active ? v1::Step::DELEGATED : v1::Step::DONE));
        CHECK(machine.exists("etc/ssh/ssh_host_ed25519_key") == !row.is_active);
        const auto online = machine.boot(Stage::online);
        CHECK(machine.exists("etc/ssh/ssh_host_ed25519_key"));
        CHECK(outcome_of(online.claim(), "hostname") ==
              (row.is_active ? v1::Step::DELEGATED : v1::Step::DONE));
        CHECK(machine.exists("etc/hostname") == !row.is_active);
    }
}

TEST_CASE("ssh host keys: cloud-init's stay") {
    Machine machine;
    machine.put("usr/bin/cloud-init", "");
    machine.boot(Stage::local);
    machine.put("etc/ssh/ssh_host_ecdsa_key", "made by cloud-init", 0600);
    machine.boot(Stage::online);
    CHECK(machine.get("etc/ssh/ssh_host_ecdsa_key") == "made by cloud-init");
    CHECK(!machine.exists("etc/ssh/ssh_host_rsa_key"));
}

TEST_CASE("ssh host keys: none are created with sshd-keygen@.service or without a server") {
    Machine fedora;
    fedora.put("usr/lib/systemd/system/sshd-keygen@.service", "");
    CHECK(message_of(fedora.boot().claim(), "ssh-host-keys") == "sshd-keygen@.service");
    CHECK(!fedora.exists("etc/ssh/ssh_host_rsa_key"));
    CHECK(fedora.claim().state() == v1::Claim::CLAIMED);

    Machine client;
    std::filesystem::remove(client.path("etc/ssh/sshd_config"));
    client.boot();
    CHECK(!client.exists("etc/ssh/ssh_host_rsa_key"));
    CHECK(client.claim().state() == v1::Claim::CLAIMED);
}

TEST_CASE("ssh host keys: empty ones after a crash are replaced, and the new ones are valid") {
    Machine machine;
    machine.put("etc/ssh/ssh_host_rsa_key", "", 0644);
    machine.put("etc/ssh/ssh_host_rsa_key.pub", "");
    machine.put("etc/ssh/ssh_host_ed25519_key", "stays", 0600);
    machine.boot(Stage::local);
    CHECK(machine.get("etc/ssh/ssh_host_ed25519_key") == "stays");
    CHECK(machine.mode("etc/ssh/ssh_host_rsa_key") == 0600);
    for (const std::string type : {"rsa", "ecdsa"}) {
        const std::string path = machine.path("etc/ssh/ssh_host_" + type + "_key");
        const std::string derived =
            run_or_throw({.arguments = {"ssh-keygen", "-y", "-f", path}, .environment = {}}, {});
        CHECK(trimmed(derived) == trimmed(machine.get("etc/ssh/ssh_host_" + type + "_key.pub")));
        CHECK(!contains(derived, "@"));  // no name of the machine that made it
    }
}

TEST_CASE("machine-id: what counts as one") {
    const std::pair<std::string, bool> rows[] = {
        {std::string(kId) + "\n", true},
        {kId, true},
        {"", false},
        {"uninitialized\n", false},
        {"0123456789ABCDEF0123456789ABCDEF\n", false},
        {std::string(32, '0') + "\n", false},
        {"0123456789abcdef\n", false},
        {"01234567-89ab-cdef-0123-456789abcdef\n", false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.first);
        Machine machine;
        machine.put("etc/machine-id", row.first, 0444);
        const auto report = machine.boot(Stage::local);
        CHECK(outcome_of(report.claim(), "machine-id") == v1::Step::DONE);
        const std::string id = machine.get("etc/machine-id");
        CHECK((id == row.first) == row.second);
        CHECK(id.size() >= 32);
        CHECK(machine::is_uuid(machine::format_uuid(id.substr(0, 32))));
    }
}

TEST_CASE("random seed: its owner's, or created") {
    Machine debian;
    debian.put("lib/systemd/system/systemd-random-seed.service", "");
    CHECK(outcome_of(debian.boot(Stage::local).claim(), "random-seed") == v1::Step::DELEGATED);

    Machine other;
    other.put("var/lib/systemd/timers", "");
    other.boot(Stage::local);
    CHECK(other.get("var/lib/systemd/random-seed").size() == 512);
    CHECK(other.mode("var/lib/systemd/random-seed") == 0600);

    Machine there;
    there.put("var/lib/systemd/random-seed", "seed", 0600);
    there.boot(Stage::local);
    CHECK(there.get("var/lib/systemd/random-seed") == "seed");
}

TEST_CASE("NVMe IDs: both have one UUID, and an existing one decides") {
    const char* const uuid = "4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11";
    const std::string nqn = std::string("nqn.2014-08.org.nvmexpress:uuid:") + uuid + "\n";
    Machine by_id;
    by_id.put("etc/nvme/hostid", std::string(uuid) + "\n");
    by_id.boot(Stage::local);
    CHECK(by_id.get("etc/nvme/hostnqn") == nqn);

    Machine by_nqn;
    by_nqn.put("etc/nvme/hostnqn", nqn);
    by_nqn.put("etc/nvme/hostid", "");
    by_nqn.boot(Stage::local);
    CHECK(by_nqn.get("etc/nvme/hostid") == std::string(uuid) + "\n");

    Machine own;
    own.put("etc/nvme/hostnqn", "nqn.2024-01.example:node-1\n");
    own.boot(Stage::local);
    CHECK(own.get("etc/nvme/hostnqn") == "nqn.2024-01.example:node-1\n");
    CHECK(machine::is_uuid(trimmed(own.get("etc/nvme/hostid"))));

    Machine none;
    std::filesystem::remove_all(none.path("etc/nvme"));
    none.boot(Stage::local);
    CHECK(!none.exists("etc/nvme"));
}

TEST_CASE("iSCSI name: what creates it") {
    struct Row {
        const char* name;
        std::map<std::string, std::string> files;
        v1::Step::Outcome outcome;
        const char* message;
    };
    const std::string file = "etc/iscsi/initiatorname.iscsi";
    const Row rows[] = {
        {"none here", {}, v1::Step::DONE, "no iSCSI initiator is installed"},
        {"Debian, sealed",
         {{file, "## comment\nGenerateName=yes\n"}},
         v1::Step::DELEGATED,
         "open-iscsi"},
        {"there",
         {{file, "InitiatorName=iqn.2024-01.example:1\n"}},
         v1::Step::DONE,
         "already there"},
        {"Fedora",
         {{"etc/iscsi/iscsid.conf", ""}, {"usr/lib/systemd/system/iscsi-init.service", ""}},
         v1::Step::DELEGATED,
         "iscsi-init.service"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Machine machine;
        for (const auto& entry : row.files) machine.put(entry.first, entry.second);
        const auto report = machine.boot(Stage::local);
        CHECK(outcome_of(report.claim(), "iscsi-name") == row.outcome);
        CHECK(message_of(report.claim(), "iscsi-name") == row.message);
    }
}

struct HostName {
    const char* name;
    std::string configured;
    std::string told;  // by the metadata service
    std::string expected;
    v1::Step::Outcome outcome;
    const char* says;
};

TEST_CASE("host name: from a template, or left alone") {
    const std::string long_name = "node-1." + std::string(60, 'x') + ".example";
    const HostName rows[] = {
        {"default", "{hostname}", "node-1.example", "node-1.example\n", v1::Step::DONE, "node-1"},
        {"short", "web-{short_hostname}", "node-1.example", "web-node-1\n", v1::Step::DONE, ""},
        {"from the id", "{instance_id}", "", "i-0123456789abcdef0\n", v1::Step::DONE, ""},
        {"switched off", "", "node-1.example", "", v1::Step::DONE, "as configured"},
        {"nothing known", "{hostname}", "", "", v1::Step::DONE, "{hostname}"},
        {"a tag that is not there", "{tag:Name}", "node-1", "", v1::Step::DONE, "{tag:Name}"},
        {"longer than Linux takes", "{hostname}", long_name, "node-1\n", v1::Step::DONE, ""},
        {"unknown placeholder", "{host}", "node-1", "", v1::Step::FAILED, "{host}"},
        {"not a host name", "{hostname}_1", "node-1", "", v1::Step::FAILED, "node-1_1"},
    };
    for (const HostName& row : rows) {
        CAPTURE(row.name);
        Machine machine;
        machine.options.hostname = row.configured;
        machine.service.on(std::string("GET ") + tests::kEc2 + "/meta-data/local-hostname",
                           row.told.empty() ? 404 : 200, row.told);
        const v1::Claim claim = machine.boot().claim();
        CHECK(machine.get("etc/hostname") == row.expected);
        REQUIRE(outcome_of(claim, "hostname") == row.outcome);
        const v1::Step& step = *step_of(claim, "hostname");
        CHECK(contains(step.message() + step.problem().message(), row.says));
    }
}

TEST_CASE("hosts: a marked block is replaced, the rest is kept") {
    struct Row {
        const char* name;
        std::string before;
        std::string lines;
        std::string after;
    };
    const std::string begin = "# prebake: begin\n";
    const std::string end = "# prebake: end\n";
    const Row rows[] = {
        {"appended", "127.0.0.1 localhost\n", "10.0.0.1 a\n",
         "127.0.0.1 localhost\n" + begin + "10.0.0.1 a\n" + end},
        {"last line without an end", "127.0.0.1 localhost", "10.0.0.1 a",
         "127.0.0.1 localhost\n" + begin + "10.0.0.1 a\n" + end},
        {"replaced where it is", "a\n" + begin + "old\nolder\n" + end + "z\n", "new\n",
         "a\n" + begin + "new\n" + end + "z\n"},
        {"twice there, once kept", begin + "x\n" + end + "m\n" + begin + "y\n" + end, "new\n",
         begin + "new\n" + end + "m\n"},
        {"no lines: no block", "a\n" + begin + "old\n" + end + "z\n", "", "a\nz\n"},
        {"nothing there and nothing to say", "a\n", "", "a\n"},
        {"the end mark is gone: only the mark is ours", "a\n" + begin + "theirs\n", "new\n",
         "a\n" + begin + "new\n" + end + "theirs\n"},
        {"an end without a beginning is a comment", end + "a\n", "new\n",
         end + "a\n" + begin + "new\n" + end},
        {"empty file", "", "new\n", begin + "new\n" + end},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const std::string after = with_hosts_block(row.before, row.lines);
        CHECK(after == row.after);
        CHECK(with_hosts_block(after, row.lines) == after);
    }
}

TEST_CASE("hosts: lines without a value are left out; localhost is never lost") {
    Machine machine;
    machine.options.hosts = "{local_ipv4} {hostname}\n{local_ipv4} {tag:Name}\n";
    std::filesystem::remove(machine.path("etc/hosts"));
    const v1::Claim claim = machine.boot().claim();
    const std::string hosts = machine.get("etc/hosts");
    CHECK(contains(hosts, "127.0.0.1 localhost\n"));
    CHECK(contains(hosts, "::1 localhost"));
    CHECK(contains(hosts, "10.24.34.0 ip-10-24-34-0.eu-west-1.compute.internal\n"));
    CHECK(!contains(hosts, "10.24.34.0 \n"));
    CHECK(contains(message_of(claim, "hosts"), "{tag:Name}"));

    Machine untouched;
    untouched.put("etc/hosts", "127.0.0.1 localhost", 0600);
    CHECK(step_of(untouched.boot().claim(), "hosts") == nullptr);
    CHECK(untouched.get("etc/hosts") == "127.0.0.1 localhost");
}

TEST_CASE("host certificate: a pair that belongs together stays, a half is completed") {
    const auto pair = make_key_and_certificate(
        {.common_name = "a", .names = {"a"}}, CertificateKind::self_signed, std::chrono::hours(24));
    const auto other = make_key_and_certificate(
        {.common_name = "b", .names = {"b"}}, CertificateKind::self_signed, std::chrono::hours(24));
    struct Row {
        const char* name;
        std::string key;
        std::string certificate;
        bool key_stays;
        bool certificate_stays;
    };
    const Row rows[] = {
        {"nothing there", "", "", false, false},
        {"whole", pair.key, pair.certificate, true, true},
        {"killed between the two", pair.key, "", true, false},
        {"a certificate without its key", "", pair.certificate, false, false},
        {"of two pairs", pair.key, other.certificate, true, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Machine machine;
        machine.options.certificate.key_file = "/etc/prebake/host.key";
        machine.options.certificate.certificate_file = "/etc/prebake/host.crt";
        if (!row.key.empty()) machine.put("etc/prebake/host.key", row.key, 0600);
        if (!row.certificate.empty()) machine.put("etc/prebake/host.crt", row.certificate);
        CHECK(outcome_of(machine.boot().claim(), "host-certificate") == v1::Step::DONE);
        const std::string key = machine.get("etc/prebake/host.key");
        const std::string certificate = machine.get("etc/prebake/host.crt");
        CHECK(belongs_to(certificate, key));
        CHECK((key == row.key) == row.key_stays);
        CHECK((certificate == row.certificate) == row.certificate_stays);
    }
}

TEST_CASE("host certificate: a clock that is not set yet does not make it expire too soon") {
    Machine machine;
    machine.options.certificate.key_file = "/etc/prebake/host.key";
    machine.options.certificate.certificate_file = "/etc/prebake/host.crt";
    machine.options.certificate.valid_for = std::chrono::hours(1);
    machine.put("usr/bin/latest", "");
    const auto later = std::filesystem::file_time_type::clock::now() + std::chrono::hours(48);
    std::filesystem::last_write_time(machine.path("usr/bin"), later);
    machine.boot();
    // Valid a day from now: it was made for when the image got its last program.
    CHECK(run_command({.arguments = {"openssl", "x509", "-in", machine.path("etc/prebake/host.crt"),
                                     "-noout", "-checkend", "86400"},
                       .environment = {}},
                      {})
              .status == 0);
}

TEST_CASE("host certificate: names from metadata, without unknown ones") {
    Machine machine;
    machine.options.certificate.key_file = "/etc/prebake/host.key";
    machine.options.certificate.certificate_file = "/etc/prebake/host.csr";
    machine.options.certificate.kind = CertificateKind::request;
    machine.options.certificate.names = {"{hostname}", "{tag:Name}", "{local_ipv4}", "{hostname}"};
    machine.boot();
    const std::string text = run_or_throw({.arguments = {"openssl", "req", "-noout", "-text", "-in",
                                                         machine.path("etc/prebake/host.csr")},
                                           .environment = {}},
                                          {});
    CHECK(contains(text, "DNS:ip-10-24-34-0.eu-west-1.compute.internal, IP Address:10.24.34.0\n"));
    CHECK(contains(text, "CN = ip-10-24-34-0.eu-west-1.compute.internal"));

    Machine unknown("");
    unknown.service = tests::ScriptedMetadata();
    unknown.options.certificate.key_file = "/etc/prebake/host.key";
    unknown.options.certificate.certificate_file = "/etc/prebake/host.crt";
    CHECK(contains(message_of(unknown.boot().claim(), "host-certificate"), "localhost"));

    Machine wrong;
    wrong.options.certificate.key_file = "/etc/prebake/host.key";
    wrong.put("etc/prebake/host.key", "no key at all");
    CHECK(outcome_of(wrong.boot().claim(), "host-certificate") == v1::Step::FAILED);
    wrong.options.certificate.certificate_file = "/etc/prebake/host.crt";
    CHECK(outcome_of(wrong.boot().claim(), "host-certificate") == v1::Step::FAILED);
    CHECK(wrong.get("etc/prebake/host.key") == "no key at all");

    // A mistake in the configuration does not keep a clone from becoming another machine.
    Machine relative;
    relative.boot();
    Machine clone(relative, "i-0fedcba9876543210");
    clone.options.certificate.key_file = "host.key";
    clone.options.certificate.certificate_file = "host.crt";
    CHECK(clone.boot().claim().state() == v1::Claim::CLAIMING);
    const auto identity = clone.identity();
    for (const auto& entry : identity) CHECK(entry.second != relative.get(entry.first));
    CHECK(clone.boot().claim().state() == v1::Claim::CLAIMING);
    CHECK(clone.identity() == identity);
    clone.options.certificate = HostCertificateOptions();
    CHECK(clone.boot().claim().state() == v1::Claim::CLAIMED);
    CHECK(clone.identity() == identity);
}

}  // namespace
}  // namespace prebake::identity::firstboot
