#include "agent/identity/survey.h"

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/text.h"
#include "agent/identity/protected_places.h"
#include "agent/machine/attached_places.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity {
namespace {

using tests::contains;
using tests::thrown_by;
using Lines = std::vector<std::string>;
using What = Target::What;

Item item_of(const std::vector<Target>& targets) {
    Item item;
    item.name = "test";
    item.targets = decltype(item.targets)(targets);
    return item;
}

Lines lines_of(const Pending& pending) {
    Lines lines;
    for (const Change& change : pending.changes) {
        switch (change.kind) {
            case Change::Kind::remove:
                lines.push_back("remove " + change.path);
                break;
            case Change::Kind::truncate:
                lines.push_back("truncate " + change.path);
                break;
            case Change::Kind::write:
                lines.push_back("write " + change.path);
                break;
        }
    }
    for (const Error& problem : pending.problems) lines.push_back(problem.message());
    for (const Error& link : pending.not_followed) lines.push_back(link.message());
    return lines;
}

TEST_CASE("what is still to be done") {
    const tests::TestTree tree;
    tree.put("/var/log/syslog", "line");
    tree.put("/var/log/empty", "");
    tree.put("/var/log/.hidden", "line");
    tree.put("/var/log/app/app.log", "line");
    tree.put("/var/log/app/deep/deep.log", "line");
    tree.put("/data/elsewhere.log", "line");
    tree.link("/var/log/app/way.log", "/data/elsewhere.log");
    tree.link("/var/log/linked.log", "/data/elsewhere.log");
    ::mkfifo(tree.at("/var/log/pipe").c_str(), 0600);
    tree.make_directory("/var/tmp");
    tree.put("/tmp/a/b", "1");
    tree.put("/tmp/.c", "");
    tree.put("/run/pid", "1");
    tree.link("/var/run", "/run");
    tree.link("/var/mail", "/tmp");
    struct Row {
        const char* name;
        std::vector<Target> targets;
        machine::Patterns keep;
        Lines pending;
    };
    const Row rows[] = {
        {"nothing there", {{What::file, "/missing"}, {What::contents, "/missing"}}, {}, {}},
        {"an empty directory has no contents", {{What::contents, "/var/tmp"}}, {}, {}},
        {"a file goes, even if it is empty",
         {{What::file, "/var/log/empty"}},
         {},
         {"remove /var/log/empty"}},
        {"a directory goes as a whole", {{What::file, "/tmp"}}, {}, {"remove /tmp"}},
        {"all in a directory, hidden too",
         {{What::contents, "/tmp"}},
         {},
         {"remove /tmp/.c", "remove /tmp/a"}},
        {"each file once, and nothing below what goes",
         {{What::file, "/tmp/a/b"},
          {What::file, "/tmp/*"},
          {What::contents, "/tmp"},
          {What::all_bytes, "/tmp"}},
         {},
         {"remove /tmp/.c", "remove /tmp/a"}},
        {"bytes of files that have some; of links only if named",
         {{What::bytes, "/var/log/*"}},
         {},
         {"truncate /data/elsewhere.log", "truncate /var/log/syslog"}},
        {"all bytes below; links are not followed there",
         {{What::all_bytes, "/var/log"}},
         {},
         {"truncate /var/log/.hidden", "truncate /var/log/app/app.log",
          "truncate /var/log/app/deep/deep.log", "truncate /var/log/syslog"}},
        {"removal goes before emptying",
         {{What::bytes, "/var/log/syslog"}, {What::file, "/var/log/syslog"}},
         {},
         {"remove /var/log/syslog"}},
        {"two names of one file",
         {{What::file, "/var/run/pid"}, {What::file, "/run/pid"}},
         {},
         {"remove /run/pid"}},
        {"contents of a directory by its link",
         {{What::contents, "/var/mail"}},
         {},
         {"remove /tmp/.c", "remove /tmp/a"}},
        {"a link goes itself", {{What::file, "/var/mail"}}, {}, {"remove /var/mail"}},
        {"kept", {{What::file, "/tmp/a"}}, {"/tmp/a"}, {}},
        {"kept by a pattern", {{What::contents, "/tmp"}}, {"/t*/*"}, {"remove /tmp/.c"}},
        {"kept above", {{What::file, "/tmp/a/b"}}, {"/tmp"}, {}},
        {"kept below: what is beside it goes",
         {{What::file, "/var/log"}},
         {"/var/log/app/deep"},
         {"remove /var/log/.hidden", "remove /var/log/app/app.log", "remove /var/log/app/way.log",
          "remove /var/log/empty", "remove /var/log/linked.log", "remove /var/log/pipe",
          "remove /var/log/syslog"}},
        {"kept under another name", {{What::file, "/run/pid"}}, {"/var/run/pid"}, {}},
        {"kept from being emptied",
         {{What::all_bytes, "/var/log"}},
         {"/var/log/app", "/var/log/.hidden"},
         {"truncate /var/log/syslog"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const machine::NamedFiles kept = machine::named_files(tree.root(), row.keep);
        CHECK(lines_of(survey(tree.root(), item_of(row.targets), {}, kept)) == row.pending);
    }
}

TEST_CASE("doing what is pending leaves nothing pending") {
    const tests::TestTree tree;
    tree.put("/a/b/c", "1");
    tree.put("/a/kept", "1");
    tree.put("/log/x", "1");
    const Item item = item_of({{What::file, "/a"}, {What::all_bytes, "/log"}});
    const machine::Root root = tree.root();
    const machine::NamedFiles kept = machine::named_files(root, {"/a/kept"});
    for (const Change& change : survey(root, item, {}, kept).changes) apply(root, change);
    CHECK(lines_of(survey(root, item, {}, kept)).empty());
    CHECK(root.names_in("/a") == Lines{"kept"});
    CHECK(tree.text("/log/x") == "");
}

TEST_CASE("extra changes") {
    const tests::TestTree tree;
    tree.put("/etc/machine-id", "1");
    tree.put("/etc/gone", "1");
    tree.link("/way", "/etc");
    Item item = item_of({{What::file, "/etc/machine-id"}});
    item.extra_changes = [](const machine::Root&, const ItemSettings&) -> Changes {
        return {{Change::Kind::write, "/way/machine-id", "new"},
                {Change::Kind::remove, "/etc/gone", {}},
                {Change::Kind::remove, "/etc/missing", {}}};
    };
    const Pending pending = survey(tree.root(), item, {}, {});
    CHECK(lines_of(pending) == Lines{"remove /etc/gone", "write /etc/machine-id"});
    CHECK(pending.changes.back().contents == "new");
    CHECK(lines_of(survey(tree.root(), item, {},
                          machine::named_files(tree.root(), {"/etc/machine-id"}))) ==
          Lines{"remove /etc/gone"});
    item.extra_changes = [](const machine::Root&, const ItemSettings&) -> Changes {
        throw Error(Errc::corrupt, "odd file");
    };
    CHECK(lines_of(survey(tree.root(), item, {}, {})) ==
          Lines{"remove /etc/machine-id", "odd file"});
}

TEST_CASE("another user's link does not reach other files" * doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a link to somebody");
        return;
    }
    const tests::TestTree tree;
    tree.put("/etc/passwd", "root");
    tree.link("/home/eve/.cache", "/etc");
    tree.link("/home/eve/log", "/etc/passwd");
    for (const char* link : {"/home/eve/.cache", "/home/eve/log"})
        REQUIRE(::lchown(tree.at(link).c_str(), 1000, 1000) == 0);
    // Eve could also move a link of root, and put another one in its place.
    tree.link("/home/eve/.config/roots", "/etc");
    REQUIRE(::chown(tree.at("/home/eve/.config").c_str(), 1000, 1000) == 0);
    CHECK(survey(tree.root(), item_of({{What::contents, "~/.config/*"}}), {}, {}).changes.empty());
    const Item item = item_of(
        {{What::contents, "~/.cache"}, {What::all_bytes, "~/.cache"}, {What::bytes, "~/log"}});
    const Pending pending = survey(tree.root(), item, {}, {});
    CHECK(pending.changes.empty());
    CHECK(pending.problems.empty());
    REQUIRE(pending.not_followed.size() == 2);
    CHECK(contains(pending.not_followed[0].message(),
                   "/home/eve/.cache: it does not belong to root"));
    CHECK(contains(pending.not_followed[1].message(), "/home/eve/log: it does not belong to root"));
}

TEST_CASE("the target of another user's link is one problem, and stays" *
          doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a link to somebody");
        return;
    }
    const tests::TestTree tree;
    tree.put("/etc/ssl/certs/a.pem", "1");
    tree.put("/etc/ssl/certs/b.pem", "1");
    tree.put("/home/bob/.ssh/key.pem", "1");
    tree.link("/home/eve/.ssh", "/etc/ssl/certs");
    REQUIRE(::lchown(tree.at("/home/eve/.ssh").c_str(), 1000, 1000) == 0);
    const Lines lines =
        lines_of(survey(tree.root(), item_of({{What::file, "~/.ssh/*.pem"}}), {}, {}));
    REQUIRE(lines.size() == 2);
    CHECK(lines[0] == "remove /home/bob/.ssh/key.pem");
    CHECK(contains(lines[1], "/home/eve/.ssh: it does not belong to root"));
}

TEST_CASE("an item whose own rules meet a user's link is not half done" *
          doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a link to somebody");
        return;
    }
    const tests::TestTree tree;
    tree.put("/etc/target", "1");
    tree.link("/srv/link", "/etc/target");
    REQUIRE(::lchown(tree.at("/srv/link").c_str(), 1000, 1000) == 0);
    Item item = item_of({});
    item.extra_changes = [](const machine::Root& root, const ItemSettings&) -> Changes {
        root.read("/srv/link", 100);
        return {};
    };
    const Pending pending = survey(tree.root(), item, {}, {});
    CHECK(pending.not_followed.empty());
    REQUIRE(pending.problems.size() == 1);
    CHECK(contains(pending.problems[0].message(), "/srv/link: it does not belong to root"));
}

TEST_CASE("which file systems are on the network") {
    CHECK(machine::is_on_network(0x6969));       // NFS
    CHECK(machine::is_on_network(0xfe534d42));   // SMB 2 and 3
    CHECK(machine::is_on_network(0xff534d42));   // CIFS
    CHECK(machine::is_on_network(0x01021997));   // 9p
    CHECK(machine::is_on_network(0x00c36400));   // Ceph
    CHECK(machine::is_on_network(0x0bd00bd0));   // Lustre
    CHECK(!machine::is_on_network(0xef53));      // ext4
    CHECK(!machine::is_on_network(0x58465342));  // XFS
    CHECK(!machine::is_on_network(0x01021994));  // tmpfs
    CHECK(!machine::is_on_network(0x65735546));  // FUSE
}

TEST_CASE("mounts that do not belong to the machine") {
    const tests::TestTree tree;
    for (const char* path : {"/mnt", "/run", "/usr", "/var/log", "/home"})
        tree.make_directory(path);
    tree.put("/disk/x/y", "1");
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        for (const char* path : {"/mnt", "/run"}) {
            if (::mount("none", tree.at(path).c_str(), "tmpfs", 0, nullptr) != 0) return "no tmpfs";
        }
        tree.put("/mnt/file", "1");
        tree.put("/run/pid", "1");
        tests::bind("/usr", tree.at("/usr"));
        tests::bind(tree.at("/disk"), tree.at("/var/log"));
        const machine::Root root = tree.root();
        machine::AttachedPlaces places(root, [](long type) { return type == 0x01021994; });
        machine::AttachedPlaces real(root);
        std::string wrong;
        const auto expect = [&](machine::AttachedPlaces& there, const char* path,
                                machine::Belonging belonging, const char* mount) {
            const machine::AttachedPlaces::Place& place = there.place_of(path);
            if (place.belonging != belonging || place.mount != mount)
                wrong += std::string(path) + " in " + place.mount + "; ";
        };
        expect(places, "/mnt/file", machine::Belonging::network, "/mnt");
        expect(places, "/mnt/not/there", machine::Belonging::network, "/mnt");
        expect(places, "/disk/x/y", machine::Belonging::machine,
               "/");  // as its root, whatever that is
        expect(real, "/mnt/file", machine::Belonging::machine, "/mnt");
        expect(real, "/run/pid", machine::Belonging::nobody, "/run");
        expect(real, "/usr/share/doc", machine::Belonging::running_machine, "/usr");
        expect(real, "/var/log/x/y", machine::Belonging::machine,
               "/var/log");  // a disk of the image
        const Error error = machine::why_not_to_change(root, places.place_of("/mnt/file")).value();
        if (!contains(error.message(), "/mnt is on a network file system")) wrong += error.what();
        const Item item = item_of(
            {{What::file, "/run/*"}, {What::contents, "/usr"}, {What::contents, "/var/log"}});
        const Lines lines = lines_of(survey(root, item, {}, {}));
        if (lines.size() != 2 || lines[0] != "remove /var/log/x" ||
            !contains(lines[1], "/usr is mounted there from the machine that this runs on")) {
            for (const std::string& line : lines) wrong += line + "\n";
        }
        return wrong;
    });
    CHECK(found == "");
}

TEST_CASE("baked images are not changed, whatever link leads there") {
    const tests::TestTree tree;
    const std::string content = "/io.containerd.content.v1.content/blobs/sha256/1";
    tree.put("/data/containerd" + content, "blob");
    tree.put("/data/docker/overlay2/x", "layer");
    tree.put("/srv/ctd" + content, "blob");
    tree.put("/var/lib/prebake/bake.json", "{}");
    tree.link("/var/lib/containerd", "/data/containerd");
    tree.link("/var/lib/docker", "/data/docker");
    tree.link("/home/eve/cache", "/var/lib/prebake");
    const machine::Root root = tree.root();
    const std::vector<std::string> patterns{"/data/containerd/io*", "/data/docker",
                                            "/data/docker/overlay2/*", "~/cache/bake.json",
                                            "/srv/ctd/io.containerd.content.v1.content/blobs"};
    const auto before = tree.everything();
    const Pending pending = survey_paths(root, patterns, {});
    CHECK(pending.changes.empty());
    CHECK(pending.problems.size() == patterns.size());
    CHECK(tree.everything() == before);
}

TEST_CASE("mounts are cleaned if a target names them, and are problems elsewhere") {
    const tests::TestTree tree;
    tree.put("/tmp/file", "1");
    tree.put("/disk/x", "1");
    tree.put("/log/audit/beneath", "");
    tree.make_directory("/log/other");
    tree.make_directory("/a/mounted");
    tree.put("/a/file", "");
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        for (const char* target : {"/tmp", "/log/audit", "/log/other", "/a/mounted"})
            tests::bind(tree.at("/disk"), tree.at(target));
        const machine::Root root = tree.root();
        struct Row {
            std::vector<Target> targets;
            Lines pending;
        };
        const std::string at = std::filesystem::canonical(tree.path());
        const auto problem = [&](const std::string& path) {
            return "cannot seal " + at + path + ": something is mounted there";
        };
        const Row rows[] = {
            {{{What::contents, "/tmp"}}, {"remove /tmp/x"}},
            {{{What::file, "/tmp"}}, {problem("/tmp")}},
            {{{What::contents, "/a"}}, {"remove /a/file", problem("/a/mounted")}},
            {{{What::all_bytes, "/log"}, {What::all_bytes, "/log/audit"}},
             {"truncate /log/audit/x", problem("/log/other")}},
        };
        std::string wrong;
        for (const Row& row : rows) {
            const Lines lines = lines_of(survey(root, item_of(row.targets), {}, {}));
            if (lines == row.pending) continue;
            for (const std::string& line : lines) wrong += line + "\n";
        }
        return wrong;
    });
    CHECK(found == "");
}

TEST_CASE("patterns that are refused") {
    struct Row {
        const char* pattern;
        bool is_accepted;
    };
    const Row rows[] = {
        {"/opt/vendor/token", true},
        {"/opt/vendor", true},
        {"/etc/vendor/*.key", true},
        {"/etc/ssl/private/vendor.key", true},
        {"/usr/local/bin/bootstrap", true},
        {"/var/log/*", true},
        {"/home/builder", true},
        {"/var/lib/docker/volumes/*", true},
        {"/var/lib/containerd/io.containerd.grpc.v1.cri/containers", true},
        {"~/.secret", true},
        {"~/.*_history", true},
        // Not patterns of ours.
        {"", false},
        {"relative/path", false},
        {"~", false},
        {"~/", false},
        {"~user/x", false},
        {"/opt/../etc", false},
        {"~/../x", false},
        {"/opt/new\nline", false},
        // The machine.
        {"/", false},
        {"/*", false},
        {"/etc", false},
        {"/etc/", false},
        {"/./etc", false},
        {"/etc/*", false},
        {"/etc/pass*", false},
        {"/etc/[p-s]*", false},
        {"/\\etc/passwd", false},
        {"/usr/bin", false},
        {"/usr/*", false},
        {"/*/bin", false},
        {"/*/*", false},
        {"/var/lib", false},
        {"/boot/vmlinuz-6.1", false},
        {"/proc/1/environ", false},
        {"/dev/vda", false},
        // What was baked.
        {"/var/lib/containerd", false},
        {"/var/lib/containerd/", false},
        {"/var/lib/containerd/*", false},
        {"/var/lib/cont*", false},
        {"/var/lib/*/*", false},
        {"/var/lib/containerd/io.containerd.content.v1.content/ingest", false},
        {"/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs", false},
        {"/var/lib/containerd/io.containerd.snap*/metadata.db", false},
        {"/var/lib/containerd/io.containerd.[cms]*", false},
        {"/data/containerd/io.containerd.metadata.v1.bolt/meta.db", false},
        {"~/ctd/io.containerd.content.v1.content", false},
        {"/var/lib/docker", false},
        {"/var/lib/docker/overlay2/l", false},
        {"/var/lib/docker/*", false},
        {"/var/lib/rancher", false},
        {"/var/lib/prebake/bake.json", false},
        {"/var/lib/pre*/ledger.json", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.pattern);
        if (row.is_accepted) {
            CHECK_NOTHROW(validate_pattern(row.pattern));
        } else {
            CHECK(thrown_by([&] { validate_pattern(row.pattern); }).code() == Errc::usage);
        }
    }
    CHECK_THROWS_AS(validate_pattern("/opt/" + std::string(5000, 'x')), Error);
}

}  // namespace
}  // namespace prebake::identity
