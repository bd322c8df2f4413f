#include "agent/machine/named_files.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::machine {
namespace {

using tests::contains;
using tests::thrown_by;
using Paths = std::set<std::string>;

TEST_CASE("files that patterns name, by their real names") {
    const tests::TestTree tree;
    tree.put("/run/pid", "1");
    tree.put("/etc/[x]", "1");
    tree.link("/var/run", "/run");
    tree.link("/etc/current", "/srv/1");
    const NamedFiles files =
        named_files(tree.root(), {"/var/run/pid", "/etc/*", "/missing", "/missing/*"});
    CHECK(files.paths == Paths{"/etc/[x]", "/etc/current", "/run/pid"});
    CHECK(files.targets == Paths{"/srv/1"});
    CHECK(files.problems.empty());
    CHECK(thrown_by([&] { named_files(tree.root(), {"etc"}); }).code() == Errc::usage);
}

TEST_CASE("a user's links are named, not their targets" * doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a link to somebody");
        return;
    }
    const tests::TestTree tree;
    tree.put("/etc/passwd",
             "eve:x:1000:1000::/home/eve:/bin/sh\n"
             "second:x:1001:1001::/home/eve/second:/bin/sh\n");
    tree.put("/etc/keys/a", "1");
    tree.put("/etc/keys/b", "1");
    tree.link("/home/eve/.ssh", "/etc/keys");
    tree.link("/home/eve/second", "/etc");
    tree.link("/home/eve/file", "/etc/passwd");
    for (const char* link : {"/home/eve/.ssh", "/home/eve/second", "/home/eve/file"})
        REQUIRE(::lchown(tree.at(link).c_str(), 1000, 1000) == 0);
    const NamedFiles files = named_files(tree.root(), {"/home/eve/.ssh/*", "/home/eve/file"});
    CHECK(files.paths == Paths{"/home/eve/.ssh/a", "/home/eve/.ssh/b", "/home/eve/file"});
    CHECK(files.targets.empty());
    REQUIRE(files.problems.size() == 2);
    CHECK(contains(files.problems[0].message(), "/home/eve/.ssh: it does not belong to root"));
    CHECK(contains(files.problems[1].message(), "/home/eve/file: it does not belong to root"));

    std::vector<Error> problems;
    CHECK(tree.root().match("~/keys/*", problems).empty());
    REQUIRE(problems.size() == 1);
    CHECK(contains(problems[0].message(), "/home/eve/second"));

    const NamedFiles kept = named_files(tree.root(), {"~/.bashrc"});
    REQUIRE(kept.problems.size() == 1);
    CHECK(contains(kept.problems[0].message(), "/home/eve/second"));
}

}  // namespace
}  // namespace prebake::machine
