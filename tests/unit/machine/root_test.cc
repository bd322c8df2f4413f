#include "agent/machine/root.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::machine {
namespace {

using tests::contains;
using tests::thrown_by;
using Names = std::vector<std::string>;

TEST_CASE("what is a root and what is not") {
    const tests::TestTree tree;
    tree.put("/file", "");
    CHECK_FALSE(tree.root().is_running_machine());
    CHECK(Root("/").is_running_machine());
    CHECK(Root("/usr/..").is_running_machine());
    CHECK(thrown_by([&] { Root(tree.at("/file")); }).code() == Errc::usage);
    CHECK(thrown_by([&] { Root(tree.at("/missing")); }).code() == Errc::not_found);
    CHECK(tree.root().outside("/etc/x") == std::filesystem::canonical(tree.path()) / "etc/x");
}

TEST_CASE("links are followed only inside the tree") {
    const tests::TestTree tree;
    const tests::TestTree other;
    other.put("/secret", "outside");
    tree.put("/data/secret", "inside");
    struct Row {
        const char* name;
        std::string target;
        bool is_found;
    };
    const Row rows[] = {
        {"absolute, as that machine means it", "/data", true},
        {"relative", "data", true},
        {"up, beyond the top", "../../../../data", true},
        {"absolute, as this machine means it", other.path(), false},
        {"up to this machine", "../../../.." + other.path().string(), false},
        {"in a circle", "way", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        tree.link("/way", row.target);
        const Root root = tree.root();
        CHECK(root.info("/way/secret").has_value() == row.is_found);
        CHECK(root.read("/way/secret", 100) ==
              (row.is_found ? std::optional<std::string>("inside") : std::nullopt));
        root.remove("/way/secret.old");
        std::filesystem::remove(tree.at("/way"));
    }
    CHECK(other.has("/secret"));
}

TEST_CASE("the last component is not followed") {
    const tests::TestTree tree;
    tree.put("/target", "kept");
    tree.make_directory("/directory/inside");
    tree.link("/link", "/target");
    tree.link("/way", "/directory");
    const Root root = tree.root();
    CHECK(root.info("/link")->type == FileType::symlink);
    CHECK(root.names_in("/way").empty());
    CHECK(root.names_in("/directory") == Names{"inside"});
    CHECK(thrown_by([&] { root.open("/link"); }).code() == Errc::io);
    CHECK(thrown_by([&] { root.truncate("/link"); }).code() == Errc::unsupported);
    root.remove("/way");
    CHECK(tree.has("/directory/inside"));
    root.write("/link", "new", {});
    CHECK(root.info("/link")->type == FileType::regular);
    CHECK(tree.text("/target") == "kept");
}

TEST_CASE("resolving") {
    const tests::TestTree tree;
    tree.make_directory("/run/lock");
    tree.link("/var/run", "/run");
    tree.link("/var/lock", "run/./lock/");
    tree.link("/var/up", "..");
    tree.link("/loop", "loop");
    struct Row {
        const char* path;
        LastLink last;
        const char* resolved;
    };
    const Row rows[] = {
        {"/", LastLink::follow, "/"},
        {"/var/run/docker.pid", LastLink::keep, "/run/docker.pid"},
        {"/var/run", LastLink::keep, "/var/run"},
        {"/var/run", LastLink::follow, "/run"},
        {"/var/lock/x", LastLink::keep, "/run/lock/x"},
        {"/var/up/run/x", LastLink::keep, "/run/x"},
        {"/var/up/../../x", LastLink::keep, "/x"},
        {"//var//run/", LastLink::keep, "/var/run"},
        {"/missing/a/b", LastLink::follow, "/missing/a/b"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.path);
        CHECK(tree.root().resolved(row.path, row.last) == row.resolved);
    }
    CHECK(thrown_by([&] { tree.root().resolved("/loop/x", LastLink::keep); }).code() == Errc::io);
    CHECK(thrown_by([&] { tree.root().resolved("var/run", LastLink::keep); }).code() ==
          Errc::usage);
}

TEST_CASE("reading") {
    const tests::TestTree tree;
    tree.put("/file", "12345");
    tree.make_directory("/directory");
    ::mkfifo(tree.at("/pipe").c_str(), 0600);
    const Root root = tree.root();
    CHECK(root.read("/file", 5) == "12345");
    CHECK(thrown_by([&] { root.read("/file", 4); }).code() == Errc::too_large);
    CHECK_FALSE(root.read("/missing", 5));
    CHECK_FALSE(root.read("/file/below", 5));
    CHECK(thrown_by([&] { root.read("/directory", 5); }).code() == Errc::io);
    CHECK(thrown_by([&] { root.read("/pipe", 5); }).code() == Errc::io);
    CHECK(thrown_by([&] { root.open("/missing"); }).code() == Errc::not_found);
    CHECK(thrown_by([&] { root.info("relative"); }).code() == Errc::usage);
    CHECK(thrown_by([&] { root.info(std::string_view("/a\0b", 4)); }).code() == Errc::usage);
    CHECK(thrown_by([&] { root.remove("/directory/.."); }).code() == Errc::usage);
    CHECK(thrown_by([&] { root.remove("/"); }).code() == Errc::usage);
}

TEST_CASE("removing") {
    const tests::TestTree tree;
    const Root root = tree.root();
    tree.put("/a/b/c", "1");
    tree.put("/a/b/.hidden/d", "2");
    tree.put("/beside", "3");
    tree.make_directory("/a/empty");
    tree.link("/a/way", "/beside");
    ::mkfifo(tree.at("/a/pipe").c_str(), 0600);
    root.remove("/a");
    root.remove("/a");
    root.remove("/missing/x");
    root.remove("/beside/x");
    CHECK(root.names_in("/") == Names{"beside"});
}

TEST_CASE("a tree deeper than the longest path, and wider than a few descriptors") {
    const tests::TestTree tree;
    tree.make_directory("/top");
    constexpr int kDepth = 3000;
    FileDescriptor fd(::open(tree.at("/top").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < kDepth; ++i) {
        REQUIRE(::mkdirat(fd.get(), "deeper", 0755) == 0);
        REQUIRE(::mkdirat(fd.get(), "beside", 0755) == 0);
        fd = FileDescriptor(::openat(fd.get(), "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        REQUIRE(fd);
    }
    FileDescriptor file(::openat(fd.get(), "leaf", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    REQUIRE(file);
    tree.root().remove("/top");
    CHECK_FALSE(tree.has("/top"));
}

TEST_CASE("a file that cannot be removed does not stop the others") {
    const tests::TestTree tree;
    tree.put("/a/locked/x", "1");
    tree.put("/a/z", "2");
    ::chmod(tree.path().c_str(), 0777);
    ::chmod(tree.at("/a").c_str(), 0777);
    ::chmod(tree.at("/a/locked").c_str(), 0555);
    const Root root = tree.root();
    const std::string found = tests::as_anybody([&]() -> std::string {
        const Error error = thrown_by([&] { root.remove("/a"); });
        if (error.code() != Errc::permission_denied) return error.what();
        return contains(error.message(), "/a/locked/x") ? "" : error.message();
    });
    CHECK(found == "");
    CHECK(tree.has("/a/locked/x"));
    CHECK_FALSE(tree.has("/a/z"));
    ::chmod(tree.at("/a/locked").c_str(), 0755);
}

TEST_CASE("emptying keeps the file") {
    const tests::TestTree tree;
    tree.put("/log", "text", 0640);
    const std::filesystem::path file = tree.at("/log");
    struct stat before {};
    ::stat(file.c_str(), &before);
    tree.root().truncate("/log");
    struct stat after {};
    ::stat(file.c_str(), &after);
    CHECK(after.st_size == 0);
    CHECK(after.st_ino == before.st_ino);
    CHECK(after.st_mode == before.st_mode);
    CHECK(thrown_by([&] { tree.root().truncate("/missing"); }).code() == Errc::not_found);
}

TEST_CASE("writing") {
    const tests::TestTree tree;
    const Root root = tree.root();
    tree.put("/etc/old", "before", 0600);
    const mode_t umask_before = ::umask(0077);
    root.write("/etc/old", "after", {});
    root.write("/etc/new", "1", {});
    root.write("/etc/key", "2", {.mode = 0640, .uid = ::geteuid(), .gid = ::getegid()});
    root.write("/made/on/the/way", "3", {});
    ::umask(umask_before);
    CHECK(tree.text("/etc/old") == "after");
    CHECK(root.info("/etc/old")->mode == 0600);
    CHECK(root.info("/etc/new")->mode == 0644);
    CHECK(root.info("/etc/new")->uid == ::geteuid());
    CHECK(root.info("/etc/key")->mode == 0640);
    CHECK(tree.text("/made/on/the/way") == "3");
    CHECK(root.info("/made/on")->mode == 0755);
    CHECK(root.names_in("/etc") == Names{"key", "new", "old"});
}

TEST_CASE("a write that fails leaves the old file and no other") {
    const tests::TestTree tree;
    const Root root = tree.root();
    tree.make_directory("/etc/name/below");
    tree.put("/file", "");
    tree.link("/dangling", "/nowhere");
    CHECK_THROWS_AS(root.write("/etc/name", "x", {}), Error);
    CHECK(root.names_in("/etc") == Names{"name"});
    CHECK(tree.has("/etc/name/below"));
    CHECK_THROWS_AS(root.write("/file/x", "x", {}), Error);
    CHECK_THROWS_AS(root.write("/dangling/x", "x", {}), Error);
    CHECK_THROWS_AS(root.write("/" + std::string(300, 'n'), "x", {}), Error);
    // The longest name there is leaves no room for a suffix.
    root.write("/" + std::string(255, 'n'), "x", {});
    CHECK(root.names_in("/") == Names{"dangling", "etc", "file", std::string(255, 'n')});
}

TEST_CASE("a file that is a mount point is changed beneath the mount") {
    const tests::TestTree tree;
    tree.put("/etc/machine-id", "0123456789abcdef\n", 0444);
    tree.put("/etc/log", "line\n");
    tree.put("/run/machine-id", "transient\n");
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        for (const std::string path : {"/etc/machine-id", "/etc/log"})
            tests::bind(tree.at("/run/machine-id"), tree.at(path));
        const Root root = tree.root();
        std::string wrong;
        if (!root.info("/etc/machine-id")->is_mount) wrong += "not seen as a mount; ";
        if (root.info("/run/machine-id")->is_mount) wrong += "seen as a mount; ";
        if (root.info("/etc/machine-id")->size != 17) wrong += "the mount's size; ";
        if (root.read("/etc/machine-id", 100) != "0123456789abcdef\n") wrong += "reads the mount; ";
        if (read_descriptor(root.open("/etc/machine-id").get(), "", 100) != "0123456789abcdef\n")
            wrong += "opens the mount; ";
        root.write("/etc/machine-id", "uninitialized\n", {});
        root.truncate("/etc/log");
        if (tree.text("/etc/machine-id") != "transient\n") wrong += "wrote to the mount; ";
        const Error error = thrown_by([&] { root.remove("/etc/log"); });
        if (error.code() != Errc::failed_precondition) wrong += error.what();
        if (root.names_in("/etc") != Names{"log", "machine-id"}) wrong += "files beside; ";
        return wrong;
    });
    CHECK(found == "");
    CHECK(tree.text("/etc/machine-id") == "uninitialized\n");
    CHECK(tree.root().info("/etc/machine-id")->mode == 0444);
    CHECK(tree.text("/etc/log") == "");
    CHECK(tree.text("/run/machine-id") == "transient\n");
}

TEST_CASE("beneath a mount on a file system that is read-only") {
    const tests::TestTree tree;
    tree.put("/etc/machine-id", "old\n");
    tree.put("/run/machine-id", "transient\n");
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        tests::bind(tree.at("/etc"), tree.at("/etc"));
        ::mount(nullptr, tree.at("/etc").c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY,
                nullptr);
        tests::bind(tree.at("/run/machine-id"), tree.at("/etc/machine-id"));
        const Error error = thrown_by([&] { tree.root().write("/etc/machine-id", "", {}); });
        if (error.code() != Errc::permission_denied) return error.what();
        return contains(error.next_step(), "remount") ? "" : error.next_step();
    });
    CHECK(found == "");
    CHECK(tree.text("/etc/machine-id") == "old\n");
}

TEST_CASE("removal stops only at a mount") {
    const tests::TestTree tree;
    tree.put("/a/1/x", "");
    tree.put("/a/mounted/x", "");
    tree.put("/a/z/x", "");
    tree.put("/a/file", "");
    tree.put("/elsewhere/kept", "");
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        tests::bind(tree.at("/elsewhere"), tree.at("/a/mounted"));
        tests::bind(tree.at("/elsewhere/kept"), tree.at("/a/file"));
        const Error error = thrown_by([&] { tree.root().remove("/a"); });
        if (error.code() != Errc::failed_precondition) return error.what();
        if (!contains(error.message(), "(and 1 more)")) return error.message();
        const Names left = tree.root().names_in("/a");
        return left == Names{"file", "mounted"} ? "" : "left too much";
    });
    CHECK(found == "");
    CHECK(tree.has("/elsewhere/kept"));
    CHECK(tree.has("/a/mounted/x"));
    CHECK_FALSE(tree.has("/a/1"));
    CHECK_FALSE(tree.has("/a/z"));
}

TEST_CASE("a change follows no link of an unprivileged user" * doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a link to somebody");
        return;
    }
    const tests::TestTree tree;
    tree.put("/etc/ssl/certs/ca.pem", "trusted");
    tree.put("/run/pid", "1");
    tree.link("/home/eve/.ssh", "/etc/ssl/certs");
    REQUIRE(::lchown(tree.at("/home/eve/.ssh").c_str(), 1000, 1000) == 0);
    tree.link("/var/run", "/run");
    const Root root = tree.root();
    const std::string path = "/home/eve/.ssh/ca.pem";
    const Error error = thrown_by([&] { root.remove(path); });
    CHECK(error.code() == Errc::untrusted);
    CHECK(contains(error.message(), "/home/eve/.ssh"));
    CHECK(error.next_step() != "");
    CHECK(thrown_by([&] { root.truncate(path); }).code() == Errc::untrusted);
    CHECK(thrown_by([&] { root.write(path, "x", {}); }).code() == Errc::untrusted);
    CHECK(tree.text("/etc/ssl/certs/ca.pem") == "trusted");
    // What is read may be written again, in a file of the user.
    CHECK(thrown_by([&] { root.read(path, 100); }).code() == Errc::untrusted);
    CHECK(thrown_by([&] { root.open_lock("/home/eve/.ssh/lock"); }).code() == Errc::untrusted);
    // Root's own links are followed, and a link goes itself.
    CHECK(root.resolved_for_change("/var/run/pid") == "/run/pid");
    root.remove("/var/run/pid");
    root.remove("/home/eve/.ssh");
    CHECK_FALSE(tree.has("/run/pid"));
    CHECK_FALSE(tree.has("/home/eve/.ssh"));
}

TEST_CASE("a link of root counts only where root alone can put it" * doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a directory to somebody");
        return;
    }
    const tests::TestTree tree;
    tree.put("/target/file", "text");
    for (const char* directory :
         {"/of-root", "/of-eve", "/of-eve/of-root", "/sticky", "/open", "/of-syslog"})
        tree.link(std::string(directory) + "/way", "/target");
    REQUIRE(::chown(tree.at("/of-eve").c_str(), 1000, 1000) == 0);
    ::chmod(tree.at("/sticky").c_str(), 01777);
    ::chmod(tree.at("/open").c_str(), 0777);
    // As /var/log on Ubuntu.
    REQUIRE(::chown(tree.at("/of-syslog").c_str(), 0, 102) == 0);
    ::chmod(tree.at("/of-syslog").c_str(), 0775);
    const Root root = tree.root();
    CHECK(root.resolved_for_change("/of-root/way/file") == "/target/file");
    CHECK(root.resolved_for_change("/sticky/way", LastLink::follow) == "/target");
    for (const std::string directory : {"/of-eve", "/of-eve/of-root", "/open", "/of-syslog"}) {
        CAPTURE(directory);
        const Error error =
            thrown_by([&] { root.resolved_for_change(directory + "/way", LastLink::follow); });
        CHECK(error.code() == Errc::untrusted);
        CHECK(contains(error.message(), "can be changed by users other than root"));
        CHECK(root.resolved_for_change(directory + "/way") == directory + "/way");
        // To see what is there, not to change it.
        CHECK(root.trusting_all_links().resolved_for_change(directory + "/way", LastLink::follow) ==
              "/target");
    }
}

TEST_CASE("only regular files are opened, locked and read") {
    const tests::TestTree tree;
    const Root root = tree.root();
    ::mkfifo(tree.at("/pipe").c_str(), 0600);
    tree.make_directory("/directory");
    tree.put("/target", "");
    tree.link("/link", "/target");
    for (const char* path : {"/pipe", "/directory", "/link"}) {
        CAPTURE(path);
        CHECK(thrown_by([&] { root.open(path); }).code() == Errc::io);
        CHECK(thrown_by([&] { root.open_lock(path); }).code() == Errc::io);
    }
    const FileLock lock(root.open_lock("/made/lock"), "lock");
    CHECK(thrown_by([&] { FileLock(root.open_lock("/made/lock"), "lock"); }).code() ==
          Errc::conflict);
    CHECK(root.info("/made/lock")->mode == 0600);
}

TEST_CASE("renaming stays in the directory and replaces") {
    const tests::TestTree tree;
    tree.put("/etc/a", "1");
    tree.put("/etc/b", "2");
    tree.root().rename("/etc/a", "b");
    CHECK(tree.root().names_in("/etc") == Names{"b"});
    CHECK(tree.text("/etc/b") == "1");
    CHECK(thrown_by([&] { tree.root().rename("/etc/a", "c"); }).code() == Errc::not_found);
}

}  // namespace
}  // namespace prebake::machine
