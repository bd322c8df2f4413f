#include "agent/identity/seal.h"
#include "agent/identity/residue.h"

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "agent/base/error.h"
#include "agent/base/json.h"
#include "agent/identity/claim.h"
#include "agent/identity/fingerprints.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity::seal_test {

using tests::contains;
using tests::thrown_by;

constexpr const char* kStateDir = "/var/lib/prebake";
constexpr const char* kMachineId = "0123456789abcdef0123456789abcdef\n";
constexpr const char* kHostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 root@builder\n";

/// A builder with what these tests need.
void furnish(const tests::TestTree& tree) {
    tree.put("/usr/lib/systemd/systemd", "", 0755);
    tree.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
    tree.put("/etc/machine-id", kMachineId, tests::machine_id_mode());
    tree.put("/etc/ssh/ssh_host_ed25519_key", "private", 0600);
    tree.put("/etc/ssh/ssh_host_ed25519_key.pub", kHostKey);
    tree.put("/etc/ssh/sshd_config", "UsePAM yes\n");
    tree.put("/root/.bash_history", "aws configure\n");
    tree.put("/var/log/syslog", "line\n", 0640);
    tree.put("/var/lib/prebake/bake.json", "{}");
    tree.put("/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/1", "blob");
    tree.put("/var/lib/docker/overlay2/l/x", "layer");
    tree.put("/opt/vendor/token", "t");
    tree.put("/opt/vendor/tool", "", 0755);
}

v1::Claim claim_of(const tests::TestTree& tree) {
    std::string warning;
    v1::Claim claim = read_claim(tree.root(), kStateDir, warning);
    CHECK(warning == "");
    return claim;
}

const v1::SealedItem& item_in(const v1::SealReport& report, std::string_view name) {
    const auto item = std::find_if(report.items().begin(), report.items().end(),
                                   [&](const v1::SealedItem& one) { return one.name() == name; });
    REQUIRE(item != report.items().end());
    return *item;
}

v1::SealReport seal_tree(const tests::TestTree& tree, const SealScope& scope = {},
                         const std::string& version = "1.2.3") {
    SealOptions options;
    options.scope = scope;
    options.prebake_version = version;
    return seal(tree.root(), options, {});
}

Item item_with(std::string_view name, Default by_default) {
    Item item;
    item.name = name;
    item.by_default = by_default;
    return item;
}

TEST_CASE("what a scope does with an item") {
    struct Row {
        const char* name;
        Default by_default;
        SealScope scope;
        Treatment treatment;
    };
    const auto scope = [](std::vector<std::string> only, std::vector<std::string> skip,
                          std::vector<std::string> also) {
        SealScope made;
        made.only = std::move(only);
        made.skip = std::move(skip);
        made.also = std::move(also);
        return made;
    };
    const Row rows[] = {
        {"on", Default::on, {}, Treatment::seal},
        {"off", Default::off, {}, Treatment::skip},
        {"report", Default::report, {}, Treatment::report},
        {"on, skipped", Default::on, scope({}, {"x"}, {}), Treatment::skip},
        {"off, asked for", Default::off, scope({}, {}, {"x"}), Treatment::seal},
        {"off, asked for alone", Default::off, scope({"x"}, {}, {}), Treatment::seal},
        {"on, others alone", Default::on, scope({"y"}, {}, {}), Treatment::skip},
        {"off, asked for, but others alone", Default::off, scope({"y"}, {}, {"x"}),
         Treatment::skip},
        {"alone and skipped", Default::on, scope({"x"}, {"x"}, {}), Treatment::skip},
        {"report, skipped", Default::report, scope({}, {"x"}, {}), Treatment::skip},
        {"report, others alone", Default::report, scope({"y"}, {}, {}), Treatment::skip},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(treatment_of(item_with("x", row.by_default), row.scope) == row.treatment);
    }
}

TEST_CASE("scopes that are refused") {
    const auto error_for = [](const auto& change) {
        SealScope scope;
        change(scope);
        return thrown_by([&] { validate(scope); });
    };
    CHECK_NOTHROW(validate({}));
    const Error unknown = error_for([](SealScope& scope) { scope.skip = {"machineid"}; });
    CHECK(unknown.code() == Errc::usage);
    CHECK(contains(unknown.next_step(), "\"machine-id\""));
    CHECK(error_for([](SealScope& s) { s.only = {"nothing-like-it"}; }).code() == Errc::usage);
    CHECK(error_for([](SealScope& s) { s.also = {""}; }).code() == Errc::usage);
    CHECK(error_for([](SealScope& s) { s.remove = {"/etc"}; }).code() == Errc::usage);
    CHECK(error_for([](SealScope& s) { s.keep = {"relative"}; }).code() == Errc::usage);
    CHECK(error_for([](SealScope& s) { s.keep = {"/etc/.."}; }).code() == Errc::usage);
    for (const Item& item : items()) {
        if (item.by_default != Default::report) continue;
        CAPTURE(item.name);
        const std::string name(item.name);
        CHECK(error_for([&](SealScope& s) { s.also = {name}; }).code() == Errc::usage);
        CHECK(error_for([&](SealScope& s) { s.only = {name}; }).code() == Errc::usage);
    }
}

TEST_CASE("a user's link does not choose what is kept" * doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a link to somebody");
        return;
    }
    struct Row {
        const char* link;
        const char* target;
        const char* keep;
    };
    const Row rows[] = {
        {"/home/eve/.ssh/authorized_keys", "/etc/machine-id", "~/.ssh/authorized_keys"},
        {"/home/eve/.ssh/authorized_keys", "/var/log", "~/.ssh/authorized_keys"},
        {"/home/eve/.ssh/authorized_keys", "../../../var/log/syslog", "~/.ssh/auth*"},
        {"/home/eve/.ssh", "/etc/ssh", "~/.ssh/*"},
        {"/home/eve/own", "/etc", "~/*/machine-id"},
        {"/home/eve/here", "/", "/home/eve/here"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.link);
        CAPTURE(row.target);
        const tests::TestTree tree;
        furnish(tree);
        tree.link(row.link, row.target);
        REQUIRE(::lchown(tree.at(row.link).c_str(), 1000, 1000) == 0);
        SealScope scope;
        scope.keep = {row.keep};
        const v1::SealReport report = seal_tree(tree, scope);
        CHECK(report.failed() == 0);
        CHECK(tree.text("/etc/machine-id") == "");
        CHECK(tree.text("/var/log/syslog") == "");
        CHECK_FALSE(tree.has("/etc/ssh/ssh_host_ed25519_key"));
        CHECK(tree.has(row.link));
        const v1::SealedItem& kept = item_in(report, kKeptPaths);
        CHECK(kept.outcome() == v1::SealedItem::CLEAN);
        CHECK(kept.problems_size() == 0);
        REQUIRE(kept.not_followed_size() == 1);
        CHECK(tests::contains(kept.not_followed(0).message(), row.link));
        CHECK(kept.not_followed(0).next_step() != "");
    }
}

TEST_CASE("if it is not known what to keep, nothing is removed") {
    const tests::TestTree tree;
    furnish(tree);
    ::chmod(tree.path().c_str(), 0755);
    tree.make_directory("/srv/locked");
    ::chmod(tree.at("/srv/locked").c_str(), 0);
    SealOptions options;
    options.scope.keep = {"/srv/locked/*"};
    options.mode = SealMode::dry_run;
    const std::string found = tests::as_anybody([&]() -> std::string {
        const v1::SealReport report = seal(tree.root(), options, {});
        if (report.items_size() != 1 || report.failed() != 1) return report.ShortDebugString();
        return report.items(0).outcome() == v1::SealedItem::FAILED ? "" : "did not fail";
    });
    CHECK(found == "");
    ::chmod(tree.at("/srv/locked").c_str(), 0700);
}

TEST_CASE("sealing a builder") {
    const tests::TestTree tree;
    furnish(tree);
    SealScope scope;
    scope.remove = {"/opt/vendor/*"};
    scope.keep = {"/opt/vendor/tool"};
    const v1::SealReport report = seal_tree(tree, scope);
    CHECK(report.failed() == 0);
    CHECK(report.schema() == "prebake.v1.SealReport");
    CHECK_FALSE(report.dry_run());
    CHECK(tree.text("/etc/machine-id") == "");
    CHECK(tree.has("/etc/machine-id"));
    CHECK_FALSE(tree.has("/etc/ssh/ssh_host_ed25519_key"));
    CHECK_FALSE(tree.has("/root/.bash_history"));
    CHECK(tree.text("/var/log/syslog") == "");
    CHECK_FALSE(tree.has("/opt/vendor/token"));
    // Not targeted, or kept.
    CHECK(tree.has("/etc/ssh/sshd_config"));
    CHECK(tree.has("/opt/vendor/tool"));
    CHECK(tree.text("/var/lib/prebake/bake.json") == "{}");
    CHECK(tree.has("/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/1"));
    CHECK(tree.has("/var/lib/docker/overlay2/l/x"));

    CHECK(item_in(report, "ssh-host-keys").outcome() == v1::SealedItem::CHANGED);
    CHECK(item_in(report, "ssh-host-keys").changes_size() == 2);
    CHECK(item_in(report, kConfiguredPaths).outcome() == v1::SealedItem::CHANGED);
    CHECK(item_in(report, "puppet").outcome() == v1::SealedItem::CLEAN);

    const v1::Claim claim = claim_of(tree);
    CHECK(claim.state() == v1::Claim::SEALED);
    CHECK(claim.prebake_version() == "1.2.3");
    CHECK(claim.seal().prebake_version() == "1.2.3");
    CHECK(claim.seal().salt().size() == 32);
    CHECK(claim.seal().has_at());
    std::set<std::string> proven;
    for (const v1::Fingerprint& fingerprint : claim.seal().fingerprints())
        proven.insert(fingerprint.item());
    CHECK(proven.count("machine-id") == 1);
    CHECK(proven.count("ssh-host-keys") == 1);
    CHECK_FALSE(contains(tree.text("/var/lib/prebake/claim.json"), "0123456789abcdef01"));
    CHECK_FALSE(contains(tree.text("/var/lib/prebake/claim.json"), "AAAAC3"));
    CHECK(unchanged_fingerprints(tree.root(), items(), claim.seal()).empty());
    tree.put("/etc/machine-id", kMachineId);
    CHECK(unchanged_fingerprints(tree.root(), items(), claim.seal()).size() == 1);
}

TEST_CASE("the builder's counts are removed, the bake record stays") {
    const tests::TestTree tree;
    furnish(tree);
    tree.put("/var/lib/prebake/ledger.json", R"({"claim": "i-0123456789abcdef0"})");
    tree.put("/var/lib/prebake/ledger.json.corrupt", "i-0123");
    tree.put("/var/lib/prebake/hydration.json", "{}");
    const auto ledgers_left = [&] {
        const v1::ResidueReport report = check(tree.root(), {}, {});
        return std::count_if(report.residue().begin(), report.residue().end(),
                             [](const v1::Residue& found) { return found.item() == "ledger"; });
    };
    CHECK(ledgers_left() == 3);
    SealScope part;
    part.only = {"machine-id"};
    seal_tree(tree, part);
    CHECK(tree.has("/var/lib/prebake/ledger.json"));
    CHECK(seal_tree(tree).failed() == 0);
    CHECK_FALSE(tree.has("/var/lib/prebake/ledger.json"));
    CHECK_FALSE(tree.has("/var/lib/prebake/ledger.json.corrupt"));
    CHECK_FALSE(tree.has("/var/lib/prebake/hydration.json"));
    CHECK(tree.text("/var/lib/prebake/bake.json") == "{}");
    CHECK(ledgers_left() == 0);
}

TEST_CASE("a dry run lists what would be done, and does nothing") {
    const tests::TestTree tree;
    furnish(tree);
    tree.put("/var/lib/prebake/claim.json", "not a claim");
    const auto before = tree.everything();
    SealOptions options;
    options.mode = SealMode::dry_run;
    const v1::SealReport foretold = seal(tree.root(), options, {});
    CHECK(tree.everything() == before);
    CHECK(foretold.dry_run());
    const v1::SealReport done = seal_tree(tree);
    CHECK(foretold.changes() == done.changes());
    REQUIRE(foretold.items_size() == done.items_size());
    for (int i = 0; i < done.items_size(); ++i)
        CHECK(to_json(foretold.items(i), JsonForm::line) == to_json(done.items(i), JsonForm::line));
}

TEST_CASE("a second seal changes nothing") {
    const tests::TestTree tree;
    furnish(tree);
    seal_tree(tree);
    const auto once = tree.everything();
    // Had it written anything, the claim would tell the later version.
    const v1::SealReport again = seal_tree(tree, {}, "2.0.0");
    CHECK(again.changes() == 0);
    CHECK(again.failed() == 0);
    CHECK(tree.everything() == once);
}

TEST_CASE("what a later seal finds is added to the first one's fingerprints") {
    const tests::TestTree tree;
    furnish(tree);
    seal_tree(tree);
    const v1::Seal first = claim_of(tree).seal();
    tree.put("/etc/machine-id", "fedcba9876543210fedcba9876543210\n");
    CHECK(seal_tree(tree).changes() == 1);
    const v1::Seal second = claim_of(tree).seal();
    CHECK(second.salt() == first.salt());
    REQUIRE(second.fingerprints_size() == first.fingerprints_size() + 1);
    for (int i = 0; i < first.fingerprints_size(); ++i)
        CHECK(second.fingerprints(i).hash() == first.fingerprints(i).hash());
}

TEST_CASE("the seal of a claimed machine ends its claim and keeps its builder") {
    const tests::TestTree tree;
    furnish(tree);
    v1::Claim claimed;
    claimed.set_state(v1::Claim::CLAIMED);
    claimed.mutable_builder()->set_id("i-0123456789abcdef0");
    claimed.mutable_instance()->set_platform("ec2");
    claimed.mutable_instance()->set_id("i-00000000000000001");
    claimed.mutable_seal()->set_salt("old");
    claimed.mutable_seal()->set_boot_id("another run of the kernel");
    claimed.mutable_seal()->add_fingerprints()->set_hash("old");
    claimed.add_steps()->set_name("ssh-host-keys");
    claimed.set_unsealed_in_place(true);
    write_claim(tree.root(), kStateDir, claimed);
    REQUIRE(seal_tree(tree).failed() == 0);
    const v1::Claim claim = claim_of(tree);
    CHECK(claim.state() == v1::Claim::SEALED);
    CHECK_FALSE(claim.has_instance());
    CHECK(claim.steps_size() == 0);
    CHECK_FALSE(claim.unsealed_in_place());
    CHECK(claim.builder().id() == "i-0123456789abcdef0");
    CHECK(claim.seal().by().id() == "i-00000000000000001");
    CHECK(claim.seal().salt() != "old");
    CHECK(claim.seal().fingerprints(0).hash() != "old");
    const std::string bytes = tree.text("/var/lib/prebake/claim.json");
    seal_tree(tree, {}, "2.0.0");
    CHECK(tree.text("/var/lib/prebake/claim.json") == bytes);
}

TEST_CASE("a partial seal is not a seal") {
    const tests::TestTree tree;
    furnish(tree);
    SealScope scope;
    scope.only = {"logs"};
    scope.remove = {"/opt/vendor/token"};
    const v1::SealReport report = seal_tree(tree, scope);
    CHECK(tree.text("/var/log/syslog") == "");
    CHECK(tree.text("/etc/machine-id") == kMachineId);
    CHECK(tree.has("/opt/vendor/token"));
    CHECK(item_in(report, "machine-id").outcome() == v1::SealedItem::SKIPPED);
    CHECK_FALSE(tree.has("/var/lib/prebake/claim.json"));
    // But what is skipped is skipped on purpose.
    scope = {};
    scope.skip = {"machine-id"};
    seal_tree(tree, scope);
    CHECK(tree.text("/etc/machine-id") == kMachineId);
    CHECK(claim_of(tree).state() == v1::Claim::SEALED);
    const v1::Seal sealed = claim_of(tree).seal();
    REQUIRE(sealed.fingerprints_size() > 0);
    for (const v1::Fingerprint& fingerprint : sealed.fingerprints())
        CHECK(fingerprint.item() != "machine-id");
}

TEST_CASE("one item that fails prevents the claim from being sealed, but stops no other item") {
    const tests::TestTree tree;
    furnish(tree);
    tree.put("/elsewhere/file", "");
    tree.make_directory("/etc/puppetlabs/puppet/ssl/mounted");
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        tests::bind(tree.at("/elsewhere"), tree.at("/etc/puppetlabs/puppet/ssl/mounted"));
        const v1::SealReport report = seal_tree(tree);
        const v1::SealedItem& puppet = item_in(report, "puppet");
        if (report.failed() != 1) return "failed: " + std::to_string(report.failed());
        if (puppet.outcome() != v1::SealedItem::FAILED) return "puppet did not fail";
        if (puppet.problems_size() == 0) return "and not told why";
        const std::string& why = puppet.problems(0).message();
        return contains(why, "something is mounted there") ? "" : why;
    });
    CHECK(found == "");
    CHECK(tree.has("/elsewhere/file"));
    CHECK(tree.text("/etc/machine-id") == "");
    CHECK_FALSE(tree.has("/root/.bash_history"));
    const v1::Claim claim = claim_of(tree);
    CHECK(claim.state() == v1::Claim::UNCLAIMED);
    // The second attempt finds no key any more; what the first one found is remembered.
    REQUIRE(seal_tree(tree).failed() == 0);
    CHECK(claim_of(tree).state() == v1::Claim::SEALED);
    CHECK(claim_of(tree).seal().salt() == claim.seal().salt());
    CHECK(claim_of(tree).seal().fingerprints_size() == claim.seal().fingerprints_size());
    CHECK(claim.seal().fingerprints_size() >= 2);
}

TEST_CASE("a stop request is honored between items") {
    const tests::TestTree tree;
    furnish(tree);
    v1::Claim claimed;
    claimed.set_state(v1::Claim::CLAIMED);
    claimed.mutable_builder()->set_id("i-0123456789abcdef0");
    claimed.mutable_instance()->set_id("i-00000000000000001");
    write_claim(tree.root(), kStateDir, claimed);
    std::stop_source stop;
    SealOptions options;
    std::vector<std::string> worked_on;
    options.on_item = [&](const v1::SealedItem& item) {
        worked_on.push_back(item.name());
        if (item.name() == "machine-id") stop.request_stop();
    };
    CHECK(thrown_by([&] { seal(tree.root(), options, stop.get_token()); }).code() ==
          Errc::cancelled);
    CHECK(worked_on.back() == "machine-id");
    CHECK(tree.text("/etc/machine-id") == "");
    CHECK(tree.has("/root/.bash_history"));
    // Booted as it is, the machine must claim itself again, and a clone must know it for one.
    CHECK(claim_of(tree).state() == v1::Claim::UNCLAIMED);
    CHECK(claim_of(tree).builder().id() == "i-00000000000000001");
}

TEST_CASE("no two seals, and no seal and bake, at the same time") {
    const tests::TestTree tree;
    furnish(tree);
    const FileLock lock(tree.at("/var/lib/prebake/bake.lock"));
    CHECK(thrown_by([&] { seal_tree(tree); }).code() == Errc::conflict);
    CHECK(tree.text("/etc/machine-id") == kMachineId);
    SealOptions options;
    options.mode = SealMode::dry_run;
    CHECK_NOTHROW(seal(tree.root(), options, {}));
}

TEST_CASE("the state directory is inside the image, wherever its links lead") {
    const tests::TestTree tree;
    furnish(tree);
    std::filesystem::rename(tree.at("/var/lib/prebake"), tree.at("/opt/state"));
    tree.link("/var/lib/prebake", "/opt/state");
    SealScope scope;
    scope.remove = {"/opt/*"};
    const v1::SealReport report = seal_tree(tree, scope);
    CHECK_FALSE(tree.has("/opt/vendor"));
    CHECK(tree.text("/opt/state/bake.json") == "{}");
    CHECK(tree.has("/opt/state/claim.json"));
    CHECK(tree.has("/opt/state/bake.lock"));
    CHECK(claim_of(tree).state() == v1::Claim::SEALED);
}

TEST_CASE("file names that are not text do not break the report") {
    const tests::TestTree tree;
    furnish(tree);
    tree.put("/etc/ssh/ssh_host_\xff_key.pub", "ssh-rsa AAAA\n");
    const v1::SealReport report = seal_tree(tree);
    CHECK(report.failed() == 0);
    CHECK(to_json(report, JsonForm::line) != "");
    CHECK_FALSE(tree.has("/etc/ssh/ssh_host_\xff_key.pub"));
    CHECK(claim_of(tree).state() == v1::Claim::SEALED);
}

TEST_CASE("a file that is not a claim is set aside and reported") {
    const tests::TestTree tree;
    furnish(tree);
    tree.put("/var/lib/prebake/claim.json", "not a claim");
    const v1::SealReport report = seal_tree(tree);
    REQUIRE(report.steps_size() == 1);
    CHECK(contains(report.steps(0).message(), "claim.json.corrupt"));
    CHECK(report.failed() == 0);
    CHECK(claim_of(tree).state() == v1::Claim::SEALED);
}

TEST_CASE("a directory without an operating system is neither sealed nor clean") {
    const tests::TestTree tree;
    tree.put("/lost+found/x", "");
    tree.put("/etc/passwd", "");
    const Error error = thrown_by([&] { seal_tree(tree); });
    CHECK(error.code() == Errc::usage);
    CHECK(contains(error.next_step(), "mounted"));
    CHECK(thrown_by([&] { check(tree.root(), {}, {}); }).code() == Errc::usage);
    CHECK_FALSE(tree.has(kStateDir));
    tree.link("/etc/os-release", "../usr/lib/os-release");
    CHECK(thrown_by([&] { require_machine(tree.root()); }).code() == Errc::usage);
    tree.make_directory("/usr");
    CHECK_NOTHROW(require_machine(tree.root()));
    std::filesystem::remove(tree.at("/etc/passwd"));
    tree.put("/usr/lib/os-release", "");
    CHECK_NOTHROW(require_machine(tree.root()));
}

TEST_CASE("no seal while a first boot runs") {
    const tests::TestTree tree;
    furnish(tree);
    const FileLock lock(tree.at("/var/lib/prebake/firstboot.lock"));
    const Error error = thrown_by([&] { seal_tree(tree); });
    CHECK(error.code() == Errc::conflict);
    CHECK(contains(error.next_step(), "prebake-online.service"));
    CHECK(tree.text("/etc/machine-id") == kMachineId);
}

TEST_CASE("a swap file that stays keeps its line in fstab, and fails its item") {
    const tests::TestTree tree;
    furnish(tree);
    const std::string fstab = "/dev/vda1 / ext4 defaults 0 1\n/data/swap none swap sw 0 0\n";
    tree.put("/etc/fstab", fstab);
    tree.put("/data/swap", "memory");
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        tests::bind(tree.at("/data"), tree.at("/data"));
        if (::mount(nullptr, tree.at("/data").c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY,
                    nullptr) != 0) {
            return "not read-only";
        }
        const v1::SealReport report = seal_tree(tree);
        const v1::SealedItem& swap = item_in(report, "swap-files");
        if (swap.outcome() != v1::SealedItem::FAILED) return "it did not fail";
        return swap.changes_size() == 0 ? "" : "it changed something";
    });
    CHECK(found == "");
    CHECK(tree.text("/etc/fstab") == fstab);
    CHECK(tree.has("/data/swap"));
    CHECK(claim_of(tree).state() == v1::Claim::UNCLAIMED);
}

TEST_CASE("a partial seal that removes what first boot must create again ends the claim") {
    struct Row {
        const char* only;
        v1::Claim::State state;
    };
    for (const Row& row : {Row{"logs", v1::Claim::CLAIMED}, Row{"puppet", v1::Claim::CLAIMED},
                           Row{"ssh-host-keys", v1::Claim::UNCLAIMED}}) {
        CAPTURE(row.only);
        const tests::TestTree tree;
        furnish(tree);
        v1::Claim claimed;
        claimed.set_state(v1::Claim::CLAIMED);
        claimed.mutable_instance()->set_id("i-00000000000000001");
        write_claim(tree.root(), kStateDir, claimed);
        SealScope scope;
        scope.only = {row.only};
        CHECK(seal_tree(tree, scope).failed() == 0);
        const v1::Claim claim = claim_of(tree);
        CHECK(claim.state() == row.state);
        const bool is_ended = row.state == v1::Claim::UNCLAIMED;
        CHECK((is_ended ? claim.builder() : claim.instance()).id() == "i-00000000000000001");
    }
}

TEST_CASE("in a chroot containers are not removed: they would be the host's") {
    const tests::TestTree tree;
    furnish(tree);
    tree.make_directory("/run/systemd/system");  // of the host, bound there
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        if (::chroot(tree.path().c_str()) != 0 || ::chdir("/") != 0) return "no chroot";
        if (::access("/opt/vendor/token", F_OK) != 0) return "not in the tree";
        bool is_called = false;
        SealOptions options;
        options.remove_containers = [&] { is_called = true; };
        const machine::Root root("/");
        if (!root.is_running_machine()) return "not as the running machine";
        const v1::SealReport report = seal(root, options, {});
        if (report.steps_size() != 0) return report.steps(0).ShortDebugString();
        return is_called ? "called" : "";
    });
    CHECK(found == "");
    CHECK(tree.text("/etc/machine-id") == "");
}

}  // namespace prebake::identity::seal_test
