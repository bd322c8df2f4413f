#include <doctest/doctest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>

#include "agent/machine/root.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::machine {
namespace {

using tests::thrown_by;
using Names = std::vector<std::string>;

TEST_CASE("what a pattern matches") {
    const tests::TestTree tree;
    tree.put("/etc/ssh/ssh_host_rsa_key", "");
    tree.put("/etc/ssh/ssh_host_rsa_key.pub", "");
    tree.put("/etc/ssh/.ssh_host_hidden_key", "");
    tree.put("/var/log/a/1.log", "");
    tree.put("/var/log/b/1.log", "");
    tree.put("/var/log/file", "");
    tree.put("/data/real/1.log", "");
    tree.link("/var/log/way", "/data/real");
    tree.link("/var/log/dangling", "/nowhere");
    tree.put("/odd/[x]*", "");
    tree.put("/odd/other", "");
    tree.link("/lib", "usr/lib");
    tree.put("/usr/lib/x", "");
    struct Row {
        const char* name;
        const char* pattern;
        Names paths;
    };
    const Row rows[] = {
        {"no wildcard", "/etc/ssh/ssh_host_rsa_key", {"/etc/ssh/ssh_host_rsa_key"}},
        {"nothing there", "/etc/ssh/ssh_host_dsa_key", {}},
        {"below a file", "/var/log/file/x", {}},
        {"at the end", "/etc/ssh/ssh_host_*_key", {"/etc/ssh/ssh_host_rsa_key"}},
        {"a leading dot takes a dot",
         "/etc/ssh/*",
         {"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_rsa_key.pub"}},
        {"a dot", "/etc/ssh/.*_key", {"/etc/ssh/.ssh_host_hidden_key"}},
        {"in the middle, through links too",
         "/var/log/*/*.log",
         {"/var/log/a/1.log", "/var/log/b/1.log", "/var/log/way/1.log"}},
        {"a link itself, dangling or not", "/var/log/[dw]*", {"/var/log/dangling", "/var/log/way"}},
        {"one character", "/var/log/?/1.log", {"/var/log/a/1.log", "/var/log/b/1.log"}},
        {"a quoted wildcard", "/odd/\\[x\\]\\*", {"/odd/[x]*"}},
        {"slashes too many", "//var/log//file/", {"/var/log/file"}},
        {"the name that was used, not where it leads", "/lib/x", {"/lib/x"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(tree.root().match(row.pattern) == row.paths);
    }
    for (const char* pattern : {"relative", "", "~user/x", "/etc/../x"}) {
        CAPTURE(pattern);
        CHECK(thrown_by([&] { tree.root().match(pattern); }).code() == Errc::usage);
    }
}

TEST_CASE("homes") {
    const tests::TestTree tree;
    tree.put("/etc/passwd",
             "root:x:0:0:root:/root:/bin/bash\n"
             "bin:x:1:1::/bin:/usr/sbin/nologin\n"
             "games:x:5:60::/usr/games:/usr/sbin/nologin\n"
             "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
             "whole:x:2:2::/:/bin/sh\n"
             "postgres:x:110:118::/var/lib/postgresql:/bin/bash\n"
             "core:x:500:500::/home/core:/bin/bash\n"
             "twice:x:501:501::/var/home/core:/bin/bash\n"
             "file:x:502:502::/srv/file:/bin/bash\n"
             "relative:x:503:503::home:/bin/bash\n"
             "broken line\n"
             "last:x:504:504::/srv/last");
    for (const char* directory :
         {"/root", "/bin", "/usr/games", "/var/lib/postgresql", "/var/home/core", "/srv/last"})
        tree.make_directory(directory);
    tree.put("/srv/file", "");
    tree.put("/var/home/core/.ssh/id_rsa", "");
    tree.put("/var/home/left-over/.ssh/id_rsa", "");
    tree.link("/home", "var/home");
    CHECK(tree.root().home_directories() == Names{"/root", "/srv/last", "/var/home/core",
                                                  "/var/home/left-over", "/var/lib/postgresql"});
    CHECK(tree.root().match("~/.ssh/id_*") ==
          Names{"/var/home/core/.ssh/id_rsa", "/var/home/left-over/.ssh/id_rsa"});
    CHECK(tests::TestTree().root().home_directories().empty());
}

/// How often a file is opened, as inotify(7) sees it. Equal events in a row count once, so the
/// closing must be watched, too.
class OpenCount {
  public:
    explicit OpenCount(const std::filesystem::path& path)
        : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
        REQUIRE(::inotify_add_watch(fd_.get(), path.c_str(), IN_OPEN | IN_CLOSE_NOWRITE) >= 0);
    }
    int value() const {
        alignas(inotify_event) std::array<char, 4096> buffer;
        int opened = 0;
        ssize_t got = 0;
        while ((got = ::read(fd_.get(), buffer.data(), buffer.size())) > 0) {
            for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
                inotify_event event{};
                std::copy_n(buffer.data() + at, sizeof event, reinterpret_cast<char*>(&event));
                opened += (event.mask & IN_OPEN) != 0 ? 1 : 0;
                at += sizeof event + event.len;
            }
        }
        return opened;
    }

  private:
    FileDescriptor fd_;
};

TEST_CASE("however many accounts and patterns: passwd is read once, until it changes") {
    constexpr int kAccounts = 50'000;
    const tests::TestTree tree;
    std::string passwd;
    for (int i = 0; i < kAccounts; ++i) {
        const std::string number = std::to_string(i);
        passwd += "u" + number + ":x:" + number + ":1::/srv/homes/u" + number + ":/bin/sh\n";
    }
    tree.put("/etc/passwd", passwd);
    tree.put("/srv/homes/u49999/.ssh/id_rsa", "");
    tree.put("/home/left-over/.ssh/id_rsa", "");
    const OpenCount opened(tree.at("/etc/passwd"));
    const Root root = tree.root();
    const Names keys{"/home/left-over/.ssh/id_rsa", "/srv/homes/u49999/.ssh/id_rsa"};
    for (int i = 0; i < 100; ++i) CHECK(root.match("~/.ssh/id_*") == keys);
    CHECK(root.home_directories() == Names{"/home/left-over", "/srv/homes/u49999"});
    CHECK(opened.value() == 1);

    tree.put("/etc/passwd", "left:x:1:1::/srv/homes/u49999:/bin/sh\n");
    CHECK(root.home_directories() == Names{"/home/left-over", "/srv/homes/u49999"});
    CHECK(opened.value() > 0);
    tree.put("/home/new/.ssh/id_rsa", "");
    CHECK(root.match("~/.ssh/id_rsa").size() == 3);
    std::filesystem::remove(tree.at("/etc/passwd"));
    CHECK(root.home_directories() == Names{"/home/left-over", "/home/new"});
}

TEST_CASE("what cannot be read hides only itself") {
    const tests::TestTree tree;
    tree.put("/a/locked/x", "");
    tree.put("/a/open/x", "");
    ::chmod(tree.path().c_str(), 0755);
    ::chmod(tree.at("/a/locked").c_str(), 0);
    const Root root = tree.root();
    const std::string found = tests::as_anybody([&]() -> std::string {
        std::vector<Error> problems;
        if (root.match("/a/*/*", problems) != Names{"/a/open/x"}) return "hides others";
        if (problems.size() != 1) return "not told";
        if (problems.front().code() != Errc::permission_denied) return problems.front().what();
        return thrown_by([&] { root.match("/a/*/*"); }).code() == Errc::permission_denied
                   ? ""
                   : "not thrown";
    });
    CHECK(found == "");
    ::chmod(tree.at("/a/locked").c_str(), 0700);
}

}  // namespace
}  // namespace prebake::machine
