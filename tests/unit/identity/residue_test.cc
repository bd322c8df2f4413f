#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "agent/base/json.h"
#include "agent/base/text.h"
#include "agent/identity/claim.h"
#include "agent/identity/residue.h"
#include "agent/identity/residue_text.h"
#include "agent/identity/seal.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/identity/secrets/planted_secrets.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity {
namespace {

using tests::contains;
using tests::noise;
using tests::pem;
using tests::private_key_of;
using tests::TestTree;
using Lines = std::vector<std::string>;

/// With as much of an operating system as a check insists on.
struct Image : TestTree {
    Image() { put("/usr/lib/os-release", ""); }
};

template <typename List>
Lines lines_of(const List& list, std::string_view item = {}) {
    Lines lines;
    for (const v1::Residue& one : list) {
        if (!item.empty() && one.item() != item) continue;
        lines.push_back(one.item() + " " + one.path() + " " + one.kind() +
                        (one.line() == 0 ? "" : " " + std::to_string(one.line())));
    }
    return lines;
}

v1::ResidueReport check_tree(const TestTree& tree, const CheckOptions& options = {}) {
    return check(tree.root(), options, {});
}

void seal_tree(const TestTree& tree) {
    tree.make_directory("/var/lib/prebake");
    const v1::SealReport report = seal(tree.root(), {}, {});
    REQUIRE(report.failed() == 0);
}

TEST_CASE("a user's link does not prevent a seal, and hides nothing from the check" *
          doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a link to somebody");
        return;
    }
    struct Row {
        const char* name;
        const char* link;
        const char* target;
        const char* item;     ///< that does not follow it
        const char* residue;  ///< what the check says of that item
    };
    const Row rows[] = {
        {"nothing behind", "/home/eve/.config", "/nowhere", nullptr, nullptr},
        {"nothing that is an item's", "/home/eve/.kube", "/srv", nullptr, nullptr},
        {"a directory with nothing to remove", "/home/eve/.docker", "/srv/tools",
         "registry-credentials", nullptr},
        {"a file that the item would remove", "/home/eve/.aws", "/srv/aws", "cloud-credentials",
         "/srv/aws/credentials to remove, behind a link that is not followed"},
        {"credentials in a file that stays", "/home/eve/.docker", "/srv/docker",
         "registry-credentials",
         "/srv/docker/config.json to remove, behind a link that is not followed"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const Image tree;
        tree.put("/srv/aws/credentials", "[default]\n");
        tree.put("/srv/docker/config.json", R"({"auths":{"r":{"auth":"dTpw"}}})");
        tree.put("/srv/tools/config.json", R"({"credsStore":"pass"})");
        tree.put("/home/bob/.docker/config.json", R"({"auths":{"r":{"auth":"dTpw"}}})");
        tree.link(row.link, row.target);
        REQUIRE(::lchown(tree.at(row.link).c_str(), 1000, 1000) == 0);
        const v1::SealReport report = seal(tree.root(), {}, {});
        CHECK(report.failed() == 0);
        CHECK_FALSE(tree.has("/home/bob/.docker/config.json"));
        CHECK(tree.has("/srv/aws/credentials"));
        CHECK(tree.has("/srv/docker/config.json"));
        const v1::ResidueReport checked = check_tree(tree);
        std::string residue;
        for (const v1::Residue& found : checked.residue()) {
            if (row.item != nullptr && found.item() == row.item)
                residue += found.path() + " " + found.kind();
        }
        CHECK(residue == (row.residue == nullptr ? "" : row.residue));
        if (row.item == nullptr) continue;
        const v1::SealedItem& item =
            *std::find_if(report.items().begin(), report.items().end(),
                          [&](const v1::SealedItem& one) { return one.name() == row.item; });
        CHECK(item.outcome() != v1::SealedItem::FAILED);
        REQUIRE(item.not_followed_size() == 1);
        CHECK(contains(item.not_followed(0).message(), row.link));
        const auto is_noted = [&](const v1::Residue& noted) {
            return noted.item() == row.item && contains(noted.kind(), row.link);
        };
        CHECK(std::any_of(checked.noted().begin(), checked.noted().end(), is_noted));
    }
}

TEST_CASE("a sealed image has no residue, a dirty one is reported file by file") {
    const Image tree;
    tree.put("/etc/machine-id", noise(32, "0123456789abcdef") + "\n");
    tree.put("/etc/ssh/ssh_host_ed25519_key", pem(private_key_of("OPENSSH")), 0600);
    tree.put("/root/.bash_history", "ls\n");
    const v1::ResidueReport dirty = check_tree(tree);
    CHECK(dirty.schema() == "prebake.v1.ResidueReport");
    CHECK(dirty.root() == tree.root().outside("/").string());
    CHECK(dirty.files_scanned() == 3);
    CHECK(dirty.bytes_scanned() > 300);
    CHECK(lines_of(dirty.residue(), "claim") ==
          Lines{"claim /var/lib/prebake/claim.json never sealed; run prebake seal"});
    CHECK(lines_of(dirty.residue(), "machine-id") ==
          Lines{"machine-id /etc/machine-id to truncate"});
    CHECK(lines_of(dirty.residue(), "ssh-host-keys") ==
          Lines{"ssh-host-keys /etc/ssh/ssh_host_ed25519_key to remove"});
    // The host key is residue of its item, and so not also a secret.
    CHECK(lines_of(dirty.residue(), "secrets").empty());

    seal_tree(tree);
    const v1::ResidueReport sealed = check_tree(tree);
    CHECK(lines_of(sealed.residue()) == Lines{});
    CHECK(sealed.files_scanned() > 0);
}

TEST_CASE("a check changes nothing, and reports the same again") {
    const Image tree;
    tree.put("/etc/ssh/ssh_host_rsa_key", pem(private_key_of("OPENSSH")), 0600);
    tree.put("/opt/z", pem(private_key_of()));
    tree.put("/opt/a", pem(private_key_of()));
    tree.put("/var/lib/prebake/claim.json", "{ broken");
    const auto before = tree.everything();
    const v1::ResidueReport first = check_tree(tree);
    const v1::ResidueReport second = check_tree(tree);
    CHECK(tree.everything() == before);
    CHECK(lines_of(first.residue()) == lines_of(second.residue()));
    CHECK(lines_of(first.residue(), "secrets") ==
          Lines{"secrets /opt/a private key (PEM) 1", "secrets /opt/z private key (PEM) 1"});
    const Lines claim = lines_of(first.residue(), "claim");
    REQUIRE(claim.size() == 1);
    CHECK(contains(claim[0], "not checked: "));
}

TEST_CASE("no part of a secret is in the report") {
    const Image tree;
    const std::string body = noise(36, tests::kAlphanumeric, 7);
    const std::string password = "swordfish" + noise(6, tests::kAlphanumeric, 8);
    tree.put("/root/.ssh/id_rsa", pem(private_key_of("RSA")));
    tree.put("/root/.docker/config.json",
             "{\"auths\":{\"r\":{\"auth\":\"" + tests::base64_of("builder:" + password) + "\"}}}");
    tree.put("/opt/token",
             "gh"
             "p_" +
                 body);
    tree.put("/etc/default/app", "DB_PASSWORD=" + password);
    tree.put("/etc/apt/sources.list", "deb https://ci:" + password + "@apt.corp/ x main");
    const v1::ResidueReport report = check_tree(tree);
    // Two of the five files go with their items.
    CHECK(lines_of(report.residue(), "secrets").size() == 3);
    CHECK(lines_of(report.residue(), "ssh-user-keys").size() == 1);
    CHECK(lines_of(report.residue(), "registry-credentials").size() == 1);
    const std::string json = to_json(report, JsonForm::indented);
    const std::string wire = report.SerializeAsString();
    for (const std::string& text : {json, wire}) {
        CHECK(!contains(text, body.substr(0, 8)));
        CHECK(!contains(text, password.substr(0, 9)));
        CHECK(!contains(text, tests::base64_of("builder:" + password).substr(0, 12)));
        CHECK(!contains(text, noise(60).substr(0, 8)));
    }
}

TEST_CASE("what is skipped or only reported is noted, and does not count") {
    const Image tree;
    tree.put("/etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAAA builder", 0644);
    tree.put("/var/lib/snapd/device/private-keys-v1/key", "x");
    CheckOptions options;
    options.scope.skip = {"ssh-host-keys"};
    const v1::ResidueReport report = check_tree(tree, options);
    CHECK(lines_of(report.residue(), "ssh-host-keys").empty());
    CHECK(lines_of(report.noted(), "ssh-host-keys") ==
          Lines{"ssh-host-keys /etc/ssh/ssh_host_rsa_key.pub to remove"});
    for (const Item& item : items()) {
        if (item.by_default == Default::report)
            CHECK(lines_of(report.residue(), item.name).empty());
    }
    CHECK(!lines_of(report.noted(), "snapd-device").empty());
}

TEST_CASE("the administrator's own paths count, unless only some items are selected") {
    const Image tree;
    tree.put("/srv/scratch/b", "1");
    tree.put("/srv/scratch/a", "1");
    tree.put("/srv/scratch/kept", pem(private_key_of()));
    CheckOptions options;
    options.scope.remove = {"/srv/scratch/*"};
    options.scope.keep = {"/srv/scratch/kept"};
    const v1::ResidueReport report = check_tree(tree, options);
    CHECK(lines_of(report.residue(), kConfiguredPaths) ==
          Lines{"configured-paths /srv/scratch/a to remove",
                "configured-paths /srv/scratch/b to remove"});
    CHECK(lines_of(report.residue(), "secrets").empty());

    options.scope.only = {"machine-id"};
    CHECK(lines_of(check_tree(tree, options).residue(), kConfiguredPaths).empty());

    options.scope.only = {"machine-idd"};
    CHECK(tests::thrown_by([&] { check_tree(tree, options); }).code() == Errc::usage);
}

TEST_CASE("what was not scanned is residue") {
    const Image tree;
    tree.put("/etc/hostname", "");
    CheckOptions options;
    options.limits.time = std::chrono::milliseconds(0);
    const Lines secrets = lines_of(check_tree(tree, options).residue(), "secrets");
    CHECK(contains(secrets.at(0), "secrets / not scanned: the limit of 0 ms was reached"));
    CHECK(contains(secrets.at(1), "secrets /etc not scanned: the limit of 0 ms was reached"));
}

TEST_CASE("what was not searched on purpose is noted, with the reason") {
    const Image tree;
    tree.put("/var/lib/docker/overlay2/1/diff/key", pem(private_key_of()));
    tree.put("/opt/kept", pem(private_key_of()));
    CheckOptions options;
    options.scope.keep = {"/opt/kept"};
    const v1::ResidueReport report = check_tree(tree, options);
    CHECK(lines_of(report.residue(), "secrets").empty());
    CHECK(lines_of(report.noted(), "secrets") ==
          Lines{"secrets /opt/kept not searched: kept by seal.keep",
                "secrets /usr/lib not searched: files of packages, except private ones",
                "secrets /var/lib/docker/overlay2 not searched: container images"});
}

TEST_CASE("passwords with which users log in are residue, once, unless they are kept") {
    const Image tree;
    const std::string hash = "$6$salt$" + noise(86);
    tree.put("/etc/passwd",
             "root:x:0:0::/root:/bin/bash\nvagrant:x:1000:1000::/:/bin/sh\n"
             "www:x:33:33::/:/usr/sbin/nologin\n");
    tree.put("/etc/shadow", "root:" + hash + ":1:\nvagrant::1:\nwww:" + hash + ":1:\n");
    tree.put("/etc/shadow-", "root:" + hash + ":1:\n");
    tree.put("/etc/gshadow", "wheel:" + hash + "::\nroot:*::\n");
    CheckOptions options;
    const v1::ResidueReport report = check_tree(tree, options);
    CHECK(lines_of(report.residue(), "secrets") ==
          Lines{"secrets /etc/gshadow password hash of the group wheel 1",
                "secrets /etc/shadow password hash of the user root, who can log in 1",
                "secrets /etc/shadow empty password of the user vagrant, who can log in 2"});
    CHECK(lines_of(report.residue(), "account-backups").size() == 1);
    CHECK(!contains(to_json(report, JsonForm::indented), hash.substr(8, 12)));
    options.scope.keep = {"/etc/shadow"};
    options.search.skip = {"/etc/gshadow"};
    CHECK(lines_of(check_tree(tree, options).residue(), "secrets").empty());
    options.search.also = {"no path"};
    CHECK(tests::thrown_by([&] { check_tree(tree, options); }).code() == Errc::usage);
}

TEST_CASE("the builder's values are found before the seal, and after it by their hashes") {
    const Image tree;
    tree.put("/etc/hostname", "golden-vm\n");
    tree.put("/etc/zabbix/zabbix_agentd.conf", "# ours\nHostname=golden-vm\n");
    tree.put("/etc/netplan/01-ours.yaml", "    match:\n      macaddress: 00:50:56:AA:BB:CC\n");
    const Lines expected{
        "builder-values /etc/netplan/01-ours.yaml a MAC address: applies to one machine only 2",
        "builder-values /etc/zabbix/zabbix_agentd.conf the builder's host name 2"};
    const Lines before = lines_of(check_tree(tree).residue(), "builder-values");
    CHECK(before == expected);  // /etc/hostname is residue of its item
    seal_tree(tree);
    CHECK(tree.text("/etc/hostname").empty());
    const v1::ResidueReport sealed = check_tree(tree);
    CHECK(lines_of(sealed.residue()) == expected);
    CHECK(!contains(tree.text("/var/lib/prebake/claim.json"), "golden-vm"));
    // A second seal knows no name, and forgets none.
    seal_tree(tree);
    CHECK(lines_of(check_tree(tree).residue()) == expected);
    // Who keeps the name on purpose skips its item.
    CheckOptions options;
    options.scope.skip = {"hostname", "network-profiles"};
    CHECK(lines_of(check_tree(tree, options).residue()).empty());
}

TEST_CASE("a long list is cut, and says so") {
    const Image tree;
    for (int i = 0; i < 10'050; ++i) tree.put("/srv/many/" + std::to_string(i), "");
    CheckOptions options;
    options.scope.remove = {"/srv/many/*"};
    const v1::ResidueReport report = check_tree(tree, options);
    REQUIRE(report.residue_size() == 10'001);
    CHECK(report.residue(0).item() == "claim");
    CHECK(contains(report.residue(10'000).kind(), " more are not listed"));
    CHECK(std::stoi(report.residue(10'000).kind()) >= 51);
}

TEST_CASE("a stop ends a check") {
    const Image tree;
    std::stop_source stop;
    stop.request_stop();
    CHECK(tests::thrown_by([&] { check(tree.root(), {}, stop.get_token()); }).code() ==
          Errc::cancelled);
}

TEST_CASE("names of files cannot break the report") {
    const Image tree;
    const std::string key = pem(private_key_of());
    tree.put("/opt/a\nb\033[2J", key);
    tree.put("/opt/\xff\xfe", key);
    tree.put("/opt/gr\xc3\xbc\xc3\x9f", key);
    const v1::ResidueReport report = check_tree(tree);
    CHECK(lines_of(report.residue(), "secrets") ==
          Lines{"secrets /opt/?? private key (PEM) 1", "secrets /opt/a?b?[2J private key (PEM) 1",
                "secrets /opt/gr\xc3\xbc\xc3\x9f private key (PEM) 1"});
    CHECK(contains(to_json(report, JsonForm::line), "a?b?[2J"));
}

TEST_CASE("a claim is ready for a snapshot only if it was sealed in this boot") {
    struct Row {
        std::string name;
        v1::Claim::State state;
        std::string seal_boot_id;
        bool unsealed_in_place;
        Machine machine;
        std::string boot_id;
        std::string expected;  // a part; "" if nothing is wrong
    };
    const std::vector<Row> rows{
        {"sealed in this boot", v1::Claim::SEALED, "b1", false, Machine::running, "b1", ""},
        {"sealed before this boot", v1::Claim::SEALED, "b0", false, Machine::running, "b1",
         "sealed before this boot"},
        {"no boot id in the seal", v1::Claim::SEALED, "", false, Machine::running, "b1",
         "not checked"},
        {"no boot id at all", v1::Claim::SEALED, "", false, Machine::running, "", "not checked"},
        {"an image sealed elsewhere", v1::Claim::SEALED, "b0", false, Machine::image, "", ""},
        {"never sealed", v1::Claim::UNCLAIMED, "", false, Machine::running, "b1", "never sealed"},
        {"image never sealed", v1::Claim::UNCLAIMED, "", false, Machine::image, "", "never sealed"},
        {"claimed", v1::Claim::CLAIMED, "b1", false, Machine::running, "b1", "claimed by i-1"},
        {"image claimed", v1::Claim::CLAIMED, "", false, Machine::image, "", "claimed by i-1"},
        {"unsealed in place", v1::Claim::CLAIMED, "b0", true, Machine::running, "b1",
         "unsealed in place"},
        {"claiming", v1::Claim::CLAIMING, "b0", false, Machine::running, "b1",
         "first boot of i-1 was interrupted"},
        {"image claiming", v1::Claim::CLAIMING, "b0", false, Machine::image, "",
         "first boot of i-1 was interrupted"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        v1::Claim claim;
        claim.set_state(row.state);
        claim.mutable_instance()->set_id("i-1");
        claim.mutable_seal()->set_boot_id(row.seal_boot_id);
        claim.set_unsealed_in_place(row.unsealed_in_place);
        const std::string why = why_not_sealed(claim, row.machine, row.boot_id);
        CHECK(contains(why, row.expected));
        CHECK(why.empty() == row.expected.empty());
    }
}

TEST_CASE("the claim of another version is not a seal") {
    const Image tree;
    tree.put("/var/lib/prebake/claim.json", R"({"schema": "prebake.v2.Claim", "state": "SEALED"})");
    const Lines claim = lines_of(check_tree(tree).residue(), "claim");
    REQUIRE(claim.size() == 1);
    CHECK(contains(claim[0], "not checked: "));
}

}  // namespace
}  // namespace prebake::identity
