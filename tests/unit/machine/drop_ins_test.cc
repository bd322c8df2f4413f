#include "agent/machine/drop_ins.h"

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/exchanger.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::machine {
namespace {

using tests::contains;
using tests::thrown_by;
using Names = std::vector<std::string>;

constexpr const char* kDirectory = "/etc/prebake/seal.d";

Names refused_in(const DropIns& found) {
    Names names;
    for (const RefusedDropIn& refused : found.refused) {
        CHECK(contains(refused.reason.message(), "other than root"));
        CHECK(refused.reason.next_step() != "");
        names.push_back(refused.name);
    }
    return names;
}

TEST_CASE("which executables are drop-ins") {
    const tests::TestTree tree;
    const std::string directory = std::string(kDirectory) + "/";
    for (const char* name :
         {"20-b", "10-a", "Z_last.sh", "a~", "b.bak", "c.dpkg-old", "d.dpkg-dist", "e.rpmsave",
          "f.rpmnew", ".hidden", "g space", "h$", "#i#"})
        tree.put(directory + name, "#!/bin/sh\n", 0755);
    tree.put(directory + "not-executable", "", 0644);
    tree.put(directory + "of-the-group", "", 0775);
    tree.put(directory + "of-all", "", 0757);
    tree.make_directory(directory + "directory");
    tree.put("/opt/tool", "", 0755);
    tree.put("/srv/tool", "", 0755);
    ::chmod(tree.at("/srv").c_str(), 0777);
    tree.link(directory + "30-linked", "/opt/tool");
    tree.link(directory + "40-linked-unsafely", "/srv/tool");
    tree.link(directory + "50-dangling", "/opt/nothing");
    const DropIns found = drop_ins_in(tree.root(), kDirectory);
    CHECK(found.names == Names{"10-a", "20-b", "30-linked", "Z_last.sh"});
    CHECK(refused_in(found) == Names{"40-linked-unsafely", "of-all", "of-the-group"});
}

TEST_CASE("nothing is run from a directory that everyone, or its group, can write to") {
    const tests::TestTree tree;
    tree.put(std::string(kDirectory) + "/10-a", "", 0755);
    for (const mode_t mode : {0777U, 0775U}) {
        ::chmod(tree.at(kDirectory).c_str(), mode);
        const DropIns found = drop_ins_in(tree.root(), kDirectory);
        CHECK(found.names.empty());
        CHECK(refused_in(found) == Names{"10-a"});
    }
    CHECK(drop_ins_in(tests::TestTree().root(), kDirectory).names.empty());
}

TEST_CASE("another user's executable is not run as root" * doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a file to somebody");
        return;
    }
    const tests::TestTree tree;
    tree.put(std::string(kDirectory) + "/10-a", "", 0755);
    REQUIRE(::chown(tree.at(std::string(kDirectory) + "/10-a").c_str(), 1000, 0) == 0);
    CHECK(refused_in(drop_ins_in(tree.root(), kDirectory)) == Names{"10-a"});
}

TEST_CASE("nothing is run below a directory of another user, however far above" *
          doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a directory to somebody");
        return;
    }
    for (const char* above : {"/etc", "/etc/prebake", kDirectory, "/opt"}) {
        CAPTURE(above);
        const tests::TestTree tree;
        tree.put("/opt/vendor/tool", "#!/bin/sh\necho > \"$OUT\"\n", 0755);
        tree.link(std::string(kDirectory) + "/10-a", "/opt/vendor/tool");
        REQUIRE(::chown(tree.at(above).c_str(), 1000, 1000) == 0);
        CHECK(refused_in(drop_ins_in(tree.root(), kDirectory)) == Names{"10-a"});
        const DropInRun run{.environment = {{"OUT", tree.at("/out")}}};
        CHECK(thrown_by([&] { run_drop_in(tree.root(), kDirectory, "10-a", run, {}); }).code() ==
              Errc::untrusted);
        CHECK_FALSE(tree.has("/out"));
    }
}

TEST_CASE("what is run is what was verified, while somebody exchanges it" *
          doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a file to somebody");
        return;
    }
    const tests::TestTree tree;
    const std::string directory = std::string(kDirectory) + "/";
    tree.put(directory + "10-a", "#!/bin/sh\necho >> \"$GOOD\"\n", 0755);
    tree.put("/of-eve", "#!/bin/sh\necho >> \"$BAD\"\n", 0755);
    REQUIRE(::chown(tree.at("/of-eve").c_str(), 1000, 1000) == 0);
    const DropInRun run{.environment = {{"GOOD", tree.at("/good")}, {"BAD", tree.at("/bad")}}};
    std::size_t refused = 0;
    std::size_t runs = 0;
    {
        const tests::Exchanger exchanger(tree.at(directory + "10-a"), tree.at("/of-eve"));
        // Until both were seen: which one comes is chance.
        constexpr std::size_t kAttempts = 200;
        const auto hangs = std::chrono::steady_clock::now() + std::chrono::seconds(120);
        while (refused == 0 || runs == 0 || refused + runs < kAttempts) {
            REQUIRE_MESSAGE(std::chrono::steady_clock::now() < hangs,
                            "never both: " << runs << " runs, " << refused << " refusals");
            try {
                run_drop_in(tree.root(), kDirectory, "10-a", run, {});
                ++runs;
            } catch (const Error& error) {
                CHECK(error.code() == Errc::untrusted);
                ++refused;
            }
        }
    }
    CHECK_FALSE(tree.has("/bad"));
    CHECK(tree.text("/good").size() == runs);
}

TEST_CASE("a script finds its neighbours by the path in its environment") {
    const tests::TestTree tree;
    const std::string directory = std::string(kDirectory) + "/";
    tree.put("/opt/tool", "#!/bin/sh\n. \"$(dirname \"$PREBAKE_DROP_IN\")/lib.sh\"\n", 0755);
    tree.put(directory + "lib.sh", "echo \"$PREBAKE_DROP_IN\" > \"$OUT\"\n");
    tree.link(directory + "10-a", "/opt/tool");
    const DropInRun run{.environment = {{"OUT", tree.at("/out")}}};
    run_drop_in(tree.root(), kDirectory, "10-a", run, {});
    CHECK(tree.text("/out") == tree.at(directory + "10-a").string() + "\n");
}

TEST_CASE("without /proc a drop-in is not run, and the error says what is missing") {
    const tests::TestTree tree;
    tree.put(std::string(kDirectory) + "/10-a", "#!/bin/sh\necho > \"$OUT\"\n", 0755);
    const DropInRun run{.environment = {{"OUT", tree.at("/out")}}};
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        if (::mount("none", "/proc", "tmpfs", 0, nullptr) != 0) return "no tmpfs";
        const Error error =
            thrown_by([&] { run_drop_in(tree.root(), kDirectory, "10-a", run, {}); });
        if (!contains(error.message(), "/etc/prebake/seal.d/10-a")) return error.what();
        if (!contains(error.message(), "/proc is not mounted")) return error.what();
        return contains(error.next_step(), "mount -t proc proc /proc") ? "" : error.what();
    });
    CHECK(found == "");
    CHECK_FALSE(tree.has("/out"));
}

TEST_CASE("running a drop-in") {
    const tests::TestTree tree;
    const std::string directory = std::string(kDirectory) + "/";
    tree.put(directory + "good", "#!/bin/sh\necho \"$PREBAKE_ROOT\" > \"$OUT\"\n", 0755);
    tree.put(directory + "bad", "#!/bin/sh\necho reason >&2\nexit 3\n", 0755);
    tree.put(directory + "slow", "#!/bin/sh\nexec sleep 60\n", 0755);
    const DropInRun run{.environment = {{"PREBAKE_ROOT", "/x"}, {"OUT", tree.at("/out")}},
                        .time_limit = std::chrono::milliseconds(20'000)};
    run_drop_in(tree.root(), kDirectory, "good", run, {});
    CHECK(tree.text("/out") == "/x\n");
    const Error error = thrown_by([&] { run_drop_in(tree.root(), kDirectory, "bad", run, {}); });
    CHECK(error.code() == Errc::failed_precondition);
    CHECK(contains(error.message(), "/etc/prebake/seal.d/bad"));
    CHECK(contains(error.message(), "ended with status 3"));
    CHECK_FALSE(contains(error.what(), "reason"));
    CHECK(contains(error.next_step(), "/run/prebake/bad.log"));
    CHECK(contains(tree.text("/run/prebake/bad.log"), "reason"));
    DropInRun short_run = run;
    short_run.time_limit = std::chrono::milliseconds(50);
    CHECK(thrown_by([&] { run_drop_in(tree.root(), kDirectory, "slow", short_run, {}); }).code() ==
          Errc::timed_out);
    CHECK(thrown_by([&] { run_drop_in(tree.root(), kDirectory, "missing", run, {}); }).code() ==
          Errc::not_found);
}

}  // namespace
}  // namespace prebake::machine
