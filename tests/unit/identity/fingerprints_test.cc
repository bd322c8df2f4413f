#include "agent/identity/fingerprints.h"

#include <doctest/doctest.h>

#include "agent/base/sha256.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity {
namespace {

TEST_CASE("the identity in a file") {
    struct Row {
        const char* name;
        const char* path;
        const char* contents;
        const char* identity;
    };
    const Row rows[] = {
        {"a key without its comment", "/k.pub", "ssh-ed25519 AAAA root@builder\n",
         "ssh-ed25519 AAAA"},
        {"a key without a comment", "/k.pub", "ssh-ed25519 AAAA", "ssh-ed25519 AAAA"},
        {"blanks of any kind", "/k.pub", " ssh-rsa \t BBBB\tx y", "ssh-rsa \t BBBB"},
        {"no key", "/k.pub", "oddity\n", "oddity"},
        {"a machine-id", "/etc/machine-id", "0123\n", "0123"},
        {"no machine-id yet", "/etc/machine-id", "uninitialized\n", ""},
        {"a name that is like it", "/etc/hostname", "uninitialized\n", "uninitialized"},
        {"an initiator", "/etc/iscsi/initiatorname.iscsi",
         "## DO NOT EDIT\nInitiatorName=iqn.1993-08.org.debian:01:abc\n",
         "iqn.1993-08.org.debian:01:abc"},
        {"no initiator yet", "/etc/iscsi/initiatorname.iscsi", "# x\nGenerateName=yes\n", ""},
        {"an empty file", "/etc/machine-id", "", ""},
        {"white space", "/etc/x", " \n\t\n", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(identity_in(row.path, row.contents) == row.identity);
    }
}

TEST_CASE("salts differ") {
    CHECK(make_salt().size() == 32);
    CHECK(make_salt().find_first_not_of("0123456789abcdef") == std::string::npos);
    CHECK(make_salt() != make_salt());
}

std::vector<Item> some_items() {
    Item ids;
    ids.name = "machine-id";
    ids.proofs = {"/etc/machine-id", "/missing"};
    Item keys;
    keys.name = "ssh-host-keys";
    keys.proofs = {"/etc/ssh/*.pub", "/etc/ssh/a*"};
    return {ids, keys};
}

TEST_CASE("fingerprints are taken and recognized") {
    const tests::TestTree tree;
    tree.put("/etc/machine-id", "0123\n");
    tree.put("/etc/ssh/a.pub", "ssh-rsa AAAA root@builder\n");
    tree.put("/etc/ssh/b.pub", "ssh-rsa BBBB\n");
    tree.put("/etc/ssh/c.pub", "");
    tree.make_directory("/etc/ssh/directory.pub");
    const std::vector<v1::Fingerprint> taken = take_fingerprints(tree.root(), some_items(), "salt");
    REQUIRE(taken.size() == 3);
    CHECK(taken[0].item() == "machine-id");
    CHECK(taken[0].path() == "/etc/machine-id");
    CHECK(taken[0].hash() == sha256_hex("salt0123"));
    CHECK(taken[1].hash() == sha256_hex("saltssh-rsa AAAA"));
    CHECK(taken[2].path() == "/etc/ssh/b.pub");

    v1::Seal seal;
    seal.set_salt("salt");
    for (const v1::Fingerprint& fingerprint : taken) *seal.add_fingerprints() = fingerprint;
    CHECK(unchanged_fingerprints(tree.root(), some_items(), seal).size() == 3);
    tree.put("/etc/machine-id", "4567\n");
    tree.put("/etc/ssh/a.pub", "ssh-rsa CCCC root@builder\n");
    tree.put("/etc/ssh/b.pub", "ssh-rsa BBBB another comment\n");
    const auto unchanged = unchanged_fingerprints(tree.root(), some_items(), seal);
    REQUIRE(unchanged.size() == 1);
    CHECK(unchanged[0].path() == "/etc/ssh/b.pub");
    seal.set_salt("another");
    CHECK(unchanged_fingerprints(tree.root(), some_items(), seal).empty());
}

TEST_CASE("an identity under another name is still the same") {
    const tests::TestTree tree;
    tree.put("/etc/ssh/a.pub", "ssh-rsa AAAA\n");
    v1::Seal seal;
    seal.set_salt("salt");
    v1::Fingerprint& sealed = *seal.add_fingerprints();
    sealed.set_path("/etc/ssh/old.pub");
    sealed.set_hash(sha256_hex("saltssh-rsa AAAA"));
    CHECK(unchanged_fingerprints(tree.root(), some_items(), seal).size() == 1);
}

}  // namespace
}  // namespace prebake::identity
