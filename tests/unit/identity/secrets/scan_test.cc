#include "agent/identity/secrets/scan.h"

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "agent/identity/secrets/places.h"
#include "agent/identity/secrets/rules.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/identity/secrets/planted_files.h"
#include "tests/unit/identity/secrets/planted_secrets.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/machine/test_tree.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::identity::secrets::scan_test {

using tests::contains;
using tests::noise;
using tests::pem;
using tests::private_key_of;
using tests::TestTree;
using Lines = std::vector<std::string>;

const std::string kKey = pem(private_key_of());
const std::string kToken =
    "gh"
    "p_" +
    noise(36);

Lines found_in(const SecretScan& scan) {
    Lines lines;
    for (const FoundSecret& secret : scan.secrets) {
        lines.push_back(secret.path + ":" + std::to_string(secret.line) + " " +
                        std::string(secret.kind));
    }
    return lines;
}

Lines left_out_in(const SecretScan& scan) {
    Lines lines;
    for (const NotScanned& file : scan.left_out) lines.push_back(file.path + ": " + file.reason);
    return lines;
}

Lines not_scanned_in(const SecretScan& scan) {
    Lines lines;
    for (const NotScanned& file : scan.not_scanned) lines.push_back(file.path + ": " + file.reason);
    return lines;
}

SecretScan scan(const TestTree& tree, const machine::Patterns& keep = {},
                const ScanLimits& limits = {}, const SearchPlaces& places = {}) {
    return scan_for_secrets(tree.root(), machine::named_files(tree.root(), keep), places, limits,
                            {});
}

void make_key(const std::filesystem::path& directory) {
    std::filesystem::create_directories(directory);
    std::ofstream(directory / "key") << kKey;
}

TEST_CASE("secrets are found wherever services keep them, and not in images and packages") {
    struct Row {
        std::string path;
        bool is_found;
    };
    const std::vector<Row> rows{
        {"/root/.ssh/id_ed25519", true},
        {"/home/alice/work/deep/below/key.pem", true},
        {"/data/bob/key.pem", true},  // a home by /etc/passwd
        {"/etc/ssl/private/a.key", true},
        {"/var/lib/app/state", true},
        {"/var/lib/docker/volumes/v/_data/key", true},
        {"/var/lib/docker/plugins/0a1b/config.json", true},
        {"/var/lib/docker/plugins/0a1b/rootfs/key", false},
        {"/var/lib/docker/plugins/storage/blobs/sha256/key", false},
        {"/var/lib/rancher/k3s/server/tls/a.key", true},
        {"/var/spool/cron/crontabs/root", true},
        {"/opt/app/key", true},
        {"/srv/www/key", true},
        {"/usr/local/etc/key", true},
        {"/usr/share/grafana/conf/key", true},
        {"/usr/share/doc/app/examples/key", false},
        {"/usr/share/gocode/src/example.com/x/testdata/key", false},
        {"/usr/lib/app/key", false},
        {"/data/other/key", true},
        {"/app/config/tls.key", true},
        {"/mnt/data/app/key", true},
        {"/u01/app/key", true},
        {"/key", true},
        {"/tmp/key", true},
        {"/tmp/systemd-private-0a1b-x.service-1/tmp/key", true},  // in an image nothing removes it
        {"/var/backups/key", true},
        {"/var/cache/app/key", true},
        {"/var/cache/apt/key", false},
        {"/var/opt/app/key", true},
        {"/var/snap/app/common/key", true},
        {"/var/snap/microk8s/common/var/lib/containerd/x/key", false},
        {"/x/run/containerd/io.containerd.runtime.v2.task/k8s.io/1/rootfs/key", false},
        {"/x/run/containerd/io.containerd.runtime.v2.task/k8s.io/1/config.json", true},
        {"/var/www/html/key", true},
        {"/snap/app/1/key", false},
        {"/data/docker/plugins/x", true},
        {"/data/docker/volumes/v/_data/key", true},
        {"/data/docker/image/key", false},
        {"/data/docker/overlay2/1/diff/key", false},
        {"/data/storage/overlay-images/key", false},
        {"/data/storage/overlay-layers/key", false},
        {"/data/storage/overlay/1/diff/key", false},
        {"/data/storage/volumes/v/_data/key", true},
        {"/data/overlay/key", true},  // only a name
        {"/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/1", false},
        {"/opt/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/key", false},
        {"/var/lib/docker/overlay2/1/diff/key", false},
        {"/var/lib/containers/storage/overlay/1/diff/key", false},
        {"/var/lib/containers/storage/vfs/dir/1/key", false},
        {"/var/lib/containers/storage/secrets/filedriver/secretsdata.json", true},
        {"/home/alice/.local/share/containers/storage/secrets/filedriver/secretsdata.json", true},
        {"/var/lib/rancher/k3s/agent/containerd/x/key", false},
        {"/home/alice/.local/share/containers/storage/overlay/1/diff/key", false},
        {"/var/lib/snapd/snaps/core.snap", false},
        {"/var/lib/dpkg/info/key", false},
        {"/var/lib/rpm/Packages", false},
    };
    const TestTree tree;
    Lines expected;
    for (const Row& row : rows) {
        tree.put(row.path, kKey);
        if (row.is_found) expected.push_back(row.path + ":1 private key (PEM)");
    }
    tree.put("/etc/passwd",
             "root:x:0:0::/root:/bin/sh\nbob:x:1:1::/data/bob:/bin/sh\nrpm:x:2:2::/var/lib/rpm:\n"
             "daemon:x:3:3::/:/bin/sh\n");
    std::sort(expected.begin(), expected.end());
    const SecretScan result = scan(tree);
    CHECK(found_in(result) == expected);
    CHECK(not_scanned_in(result).empty());
    CHECK(result.files == expected.size() + 1);
    CHECK(result.bytes == expected.size() * kKey.size() + tree.text("/etc/passwd").size());
}

TEST_CASE("a clean tree has no findings") {
    const TestTree tree;
    tree.put("/etc/hostname", "builder\n");
    const SecretScan result = scan(tree);
    CHECK(found_in(result).empty());
    CHECK(not_scanned_in(result).empty());
    CHECK(result.files == 1);
}

TEST_CASE("links are not followed, and nothing is searched twice") {
    const TestTree tree;
    tree.put("/data/homes/alice/key", kKey);
    tree.link("/home", "/data/homes");
    tree.put("/srv/app/key", kKey);
    tree.put("/etc/passwd", "app:x:1:1::/srv/app:/bin/sh\nalice:x:2:2::/home/alice:/bin/sh\n");
    tree.put("/elsewhere/key", kKey);
    tree.link("/etc/key", "/elsewhere/key");
    tree.link("/etc/loop", "/etc");
    tree.link("/etc/self", "self");
    tree.link("/opt", "/opt");
    // Docker's data in a place that is searched.
    tree.put("/srv/docker/overlay2/1/diff/key", kKey);
    tree.link("/var/lib/docker", "/srv/docker");
    const SecretScan result = scan(tree);
    CHECK(found_in(result) == Lines{"/data/homes/alice/key:1 private key (PEM)",
                                    "/elsewhere/key:1 private key (PEM)",
                                    "/srv/app/key:1 private key (PEM)"});
    CHECK(result.files == 4);
    CHECK(left_out_in(result) == Lines{"/srv/docker/overlay2: container images"});
}

TEST_CASE("a link cannot exclude a whole place from the search") {
    const TestTree tree;
    tree.put("/opt/key", kKey);
    tree.put("/home/alice/key", kKey);
    tree.link("/var/lib/containerd", "/opt");
    tree.link("/home/alice/.local/share/docker", "/home/alice");
    tree.link("/var/lib/rpm", "/");
    tree.put("/data/key", kKey);
    tree.link("/var/lib/docker/overlay2", "/data");
    tree.put("/disk/containerd/key", kKey);
    tree.link("/var/lib/soci-snapshotter-grpc", "/disk/containerd");
    const SecretScan result = scan(tree);
    CHECK(found_in(result) == Lines{"/data/key:1 private key (PEM)",
                                    "/home/alice/key:1 private key (PEM)",
                                    "/opt/key:1 private key (PEM)"});
    CHECK(left_out_in(result) == Lines{"/disk/containerd: container images"});
}

TEST_CASE("what is kept is not searched") {
    const TestTree tree;
    tree.put("/etc/app/key", kKey);
    tree.put("/etc/application/key", kKey);
    tree.put("/home/alice/ca/key", kKey);
    tree.put("/opt/one.key", kKey);
    tree.put("/srv/linked/key", kKey);
    tree.link("/etc/linked", "/srv/linked");
    const SecretScan result = scan(tree, {"/etc/app", "~/ca", "/opt/*.key", "/etc/linked"});
    CHECK(found_in(result) ==
          Lines{"/etc/application/key:1 private key (PEM)", "/srv/linked/key:1 private key (PEM)"});
    CHECK(left_out_in(result) == Lines{"/etc/app: kept by seal.keep",
                                       "/home/alice/ca: kept by seal.keep",
                                       "/opt/one.key: kept by seal.keep"});
}

TEST_CASE("what would have to be unpacked is reported") {
    struct Row {
        std::string path;
        std::string contents;
        std::string reason;  // a part; "" if it is an ordinary file
    };
    using namespace std::string_literals;
    const std::vector<Row> rows{
        {"/data/b.xz",
         "\xfd"
         "7zXZ\0\0"s,
         "compressed"},
        {"/data/c.zst", "\x28\xb5\x2f\xfd\x04"s, "compressed"},
        {"/data/d.jar", "PK\x03\x04"s, "compressed"},
        {"/data/e.gz", tests::gzipped(tests::gzipped("gzip in gzip")), "compressed"},
        {"/data/f.p12", tests::pkcs12(3), "keystore"},
        {"/data/g.der", "\x30\x82\x09\xd1\x02\x01\x00\x30"s, ""},
        {"/data/h", "", ""},
        {"/data/i", "\x1f", ""},
        {"/data/j", "0", ""},
    };
    const TestTree tree;
    for (const Row& row : rows) tree.put(row.path, row.contents);
    const Lines left_out = left_out_in(scan(tree));
    std::size_t said = 0;
    for (const Row& row : rows) {
        CAPTURE(row.path);
        if (row.reason.empty()) continue;
        REQUIRE(said < left_out.size());
        CHECK(contains(left_out[said], row.path + ": "));
        CHECK(contains(left_out[said], row.reason));
        ++said;
    }
    CHECK(said == left_out.size());
}

TEST_CASE("what is not plain text is searched, too") {
    const TestTree tree;
    const std::string lines = "\n\n" + kToken + "\n";
    const std::string setting = "[client]\npassword = swordfish9\n";
    std::string damaged = tests::gzipped(lines + noise(5000));
    damaged[damaged.size() / 2] = static_cast<char>(~damaged[damaged.size() / 2]);
    tree.put("/opt/a.gz", tests::gzipped(lines));
    tree.put("/opt/b", tests::gzipped(std::string(3UL << 20, '.') + lines));
    tree.put("/etc/c.cnf.gz", tests::gzipped(setting));
    tree.put("/opt/d.gz", tests::gzipped("x") + tests::gzipped("\n" + kToken));
    tree.put("/opt/e.gz", tests::gzipped("x\n") + kKey);
    tree.put("/opt/f.txt", "\xff\xfe" + tests::utf16(lines));
    tree.put("/etc/g.reg", tests::utf16(lines, true));
    tree.put("/etc/h.cnf", tests::utf16(setting));
    tree.put("/opt/i.txt.gz", tests::gzipped(tests::utf16(lines)));
    tree.put("/opt/j.key", tests::pkcs8_der());
    tree.put("/opt/k.key.gz", tests::gzipped(tests::rsa_der()));
    tree.put("/opt/l.p12", tests::pkcs12(2));
    tree.put("/opt/m.gz", damaged);
    tree.put("/opt/n.gz", tests::gzipped(std::string(64UL << 20, '\0') + kToken));
    // UTF-16 at first sight only: what is plain in it counts as well.
    tree.put("/opt/o.txt", tests::utf16("appended by another program:") + kToken);
    const SecretScan result = scan(tree);
    CHECK(found_in(result) ==
          Lines{"/etc/c.cnf.gz:2 password in a setting", "/etc/g.reg:3 GitHub token",
                "/etc/h.cnf:2 password in a setting", "/opt/a.gz:3 GitHub token",
                "/opt/b:3 GitHub token", "/opt/d.gz:2 GitHub token",
                "/opt/e.gz:2 private key (PEM)", "/opt/f.txt:3 GitHub token",
                "/opt/i.txt.gz:3 GitHub token", "/opt/j.key:1 private key (DER)",
                "/opt/k.key.gz:1 private key (DER)", "/opt/l.p12:1 private key (PKCS #12)",
                "/opt/m.gz:3 GitHub token", "/opt/o.txt:1 GitHub token"});
    CHECK(not_scanned_in(result) ==
          Lines{"/opt/n.gz: the rest of a file that expands more than 200 times"});
    CHECK(
        left_out_in(result) ==
        Lines{"/opt/m.gz: damaged: what could be unpacked before the damage was searched, and not "
              "the rest"});
}

TEST_CASE("limits hold for what is unpacked") {
    const TestTree tree;
    tree.put("/opt/a.gz", tests::gzipped(noise(3UL << 20) + kToken));
    const SecretScan result = scan(tree, {}, {.file_bytes = 5UL << 19});
    CHECK(found_in(result).empty());
    CHECK(not_scanned_in(result) == Lines{"/opt/a.gz: larger than 2621440 bytes"});
}

TEST_CASE("the administrator decides what is searched") {
    const TestTree tree;
    for (const char* const path :
         {"/usr/lib/app/key", "/usr/lib/other/key", "/usr/share/doc/app/key", "/usr/bin/key",
          "/var/lib/containerd/key", "/srv/big/key", "/srv/big/small/key", "/srv/small/key",
          "/home/alice/work/key"}) {
        tree.put(path, kKey);
    }
    tree.link("/opt/app", "/usr/lib/app");
    const SearchPlaces places{
        .also = {"/opt/app", "/usr/share/doc", "/usr/bin/k*", "/srv", "/no/such/place"},
        .skip = {"/srv/big", "~/work", "/usr/lib/app/none"}};
    const SecretScan result = scan(tree, {}, {}, places);
    CHECK(found_in(result) == Lines{"/srv/small/key:1 private key (PEM)",
                                    "/usr/bin/key:1 private key (PEM)",
                                    "/usr/lib/app/key:1 private key (PEM)",
                                    "/usr/share/doc/app/key:1 private key (PEM)"});
    CHECK(left_out_in(result) == Lines{"/home/alice/work: left out by seal.scan_skip",
                                       "/srv/big: left out by seal.scan_skip",
                                       "/usr/bin: files of packages, except private ones",
                                       "/usr/lib: files of packages, except private ones",
                                       "/var/lib/containerd: container images"});
    CHECK(not_scanned_in(result).empty());
    // What is searched anyway is not searched twice, and what is skipped stays skipped.
    const SecretScan again =
        scan(tree, {}, {}, {.also = {"/srv/big/small", "/srv/small/key"}, .skip = {"/srv/big"}});
    CHECK(found_in(again) ==
          Lines{"/home/alice/work/key:1 private key (PEM)", "/srv/small/key:1 private key (PEM)"});
    for (const char* const pattern : {"srv", "~alice/x", "/srv/../etc", ""}) {
        CAPTURE(pattern);
        CHECK(tests::thrown_by([&] { validate({.also = {pattern}, .skip = {}}); }).code() ==
              Errc::usage);
        CHECK(
            contains(tests::thrown_by([&] { validate({.also = {}, .skip = {pattern}}); }).message(),
                     "seal.scan_skip: "));
    }
}

TEST_CASE("among files of packages, those that only their owner may read are searched") {
    struct Row {
        std::string path;
        mode_t mode;
        bool is_found;
    };
    const std::vector<Row> rows{
        {"/usr/lib/myservice/server.key", 0600, true},
        {"/usr/lib/myservice/deep/below/server.key", 0400, true},
        {"/usr/lib/myservice/public.key", 0644, false},
        {"/usr/lib/myservice/group.key", 0640, false},
        {"/usr/lib/python3/test/keycert.pem", 0644, false},
        {"/usr/share/nodejs/app/config/server.key", 0600, true},
        {"/usr/share/nodejs/app/test/server.key", 0644, false},
        {"/usr/share/doc/app/key", 0600, true},
        {"/usr/bin/key", 0700, true},
        {"/lib/app/key", 0600, true},
        {"/nix/store/0a1b-app/key", 0600, false},
        {"/var/lib/dpkg/info/key", 0600, false},
        {"/var/lib/docker/overlay2/1/diff/usr/lib/app/key", 0600, false},
        {"/usr/lib/kept/key", 0600, false},
        {"/usr/lib/skipped/key", 0600, false},
        {"/usr/lib/wanted/key", 0600, true},
        {"/usr/lib/wanted.key", 0600, true},
    };
    const TestTree tree;
    Lines expected;
    for (const Row& row : rows) {
        tree.put(row.path, kKey, row.mode);
        if (row.is_found) expected.push_back(row.path + ":1 private key (PEM)");
    }
    std::sort(expected.begin(), expected.end());
    const SearchPlaces places{.also = {"/usr/lib/wanted", "/usr/lib/wanted.key"},
                              .skip = {"/usr/lib/skipped"}};
    const SecretScan result = scan(tree, {"/usr/lib/kept"}, {}, places);
    CHECK(found_in(result) == expected);
    CHECK(not_scanned_in(result).empty());
    CHECK(result.files == expected.size());
    // They are bound by the same limits.
    const SecretScan limited = scan(tree, {}, {.file_bytes = kKey.size() - 1});
    CHECK(not_scanned_in(limited).size() == 10);
}

TEST_CASE("secrets on the borders of pieces are found once, with their lines") {
    constexpr std::size_t kPiece = 1UL << 20;
    constexpr std::size_t kStep = kPiece - kMaxLookAhead - kMaxLookBehind;
    const std::string line = std::string(63, '.') + "\n";
    for (const std::size_t border : {kPiece - kMaxLookAhead, kPiece, kPiece - kMaxLookAhead + kStep,
                                     kPiece + 2 * kStep, kStep, kMaxLookAhead}) {
        for (const std::size_t before : {0U, 1U, 45U, 300U, 1023U, 1024U}) {
            CAPTURE(border);
            CAPTURE(before);
            const std::size_t offset = border - before;
            std::string text;
            while (text.size() + line.size() <= offset) text += line;
            const std::size_t lines = text.size() / line.size();
            text += std::string(offset - text.size(), '.');
            const std::string end = std::string(kPiece, '.') + "\n";
            const TestTree tree;
            tree.put("/opt/key", text + kKey + end);
            tree.put("/opt/token", text + kToken + end);
            // The beginning of a piece is not the beginning of a word.
            tree.put("/opt/word", text + "x" + kToken + end);
            const std::string number = std::to_string(lines + 1);
            CHECK(found_in(scan(tree)) == Lines{"/opt/key:" + number + " private key (PEM)",
                                                "/opt/token:" + number + " GitHub token"});
        }
    }
}

TEST_CASE("a line longer than a piece holds one secret of a kind") {
    const TestTree tree;
    const std::string filler(700'000, '.');
    tree.put("/opt/one",
             "\n" + filler + kToken + filler + kToken + filler + kToken + "\n" + kToken);
    CHECK(found_in(scan(tree)) == Lines{"/opt/one:2 GitHub token", "/opt/one:3 GitHub token"});
}

TEST_CASE("a file full of secrets does not fill the report") {
    const TestTree tree;
    std::string text;
    for (int i = 0; i < 500; ++i) text += kToken + "\n";
    tree.put("/opt/tokens", text);
    const SecretScan result = scan(tree);
    CHECK(result.secrets.size() == 100);
    CHECK(not_scanned_in(result) ==
          Lines{"/opt/tokens: the rest of a file with more than 100 secrets"});
}

TEST_CASE("limits that are reached are findings") {
    const TestTree tree;
    tree.put("/etc/a", std::string(1000, 'a'));
    tree.put("/opt/b", std::string(1000, 'b'));
    tree.put("/opt/c", std::string(1000, 'c'));
    tree.put("/srv/d", std::string(1000, 'd'));

    SUBCASE("no time") {
        const SecretScan result = scan(tree, {}, {.time = std::chrono::milliseconds(0)});
        CHECK(result.files == 0);
        CHECK(not_scanned_in(result) ==
              Lines{"/: the limit of 0 ms was reached", "/etc: the limit of 0 ms was reached",
                    "/opt: the limit of 0 ms was reached", "/srv: the limit of 0 ms was reached"});
    }
    SUBCASE("bytes of all files") {
        const SecretScan result = scan(tree, {}, {.bytes = 1500});
        CHECK(result.files == 2);
        CHECK(not_scanned_in(result) == Lines{"/opt: the limit of 1500 bytes was reached",
                                              "/srv: the limit of 1500 bytes was reached"});
    }
    SUBCASE("bytes of one file, however little of it is on the disk") {
        REQUIRE(::truncate(tree.at("/opt/b").c_str(), off_t{1} << 40) == 0);
        const SecretScan result = scan(tree);
        CHECK(not_scanned_in(result) == Lines{"/opt/b: larger than 268435456 bytes"});
        CHECK(result.bytes == 3000);
    }
    SUBCASE("a stop") {
        std::stop_source stop;
        stop.request_stop();
        const Error error =
            tests::thrown_by([&] { scan_for_secrets(tree.root(), {}, {}, {}, stop.get_token()); });
        CHECK(error.code() == Errc::cancelled);
    }
}

TEST_CASE("pipes, sockets and devices do not block") {
    const TestTree tree;
    tree.make_directory("/opt");
    REQUIRE(::mkfifo(tree.at("/opt/pipe").c_str(), 0600) == 0);
    const FileDescriptor server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = tree.at("/opt/socket").string();
    REQUIRE(name.size() < sizeof(address.sun_path));
    name.copy(address.sun_path, name.size());
    REQUIRE(::bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
            0);
    tree.put("/opt/z", kKey);
    const SecretScan result = scan(tree);
    CHECK(found_in(result) == Lines{"/opt/z:1 private key (PEM)"});
    CHECK(not_scanned_in(result).empty());
    CHECK(result.files == 1);
}

TEST_CASE("what cannot be read is reported") {
    const TestTree tree;
    tree.put("/opt/file", kKey, 0);
    tree.put("/srv/directory/file", kKey);
    REQUIRE(::chmod(tree.path().c_str(), 0755) == 0);
    REQUIRE(::chmod(tree.at("/srv/directory").c_str(), 0) == 0);
    const std::string told = tests::as_anybody([&]() -> std::string {
        std::string lines;
        const SecretScan result = scan(tree);
        for (const std::string& line : found_in(result)) lines += line + "\n";
        for (const NotScanned& file : result.not_scanned) lines += file.path + "\n";
        return lines;
    });
    CHECK(told == "/opt/file\n/srv/directory\n");
    ::chmod(tree.at("/srv/directory").c_str(), 0700);
}

TEST_CASE("file systems on a disk are searched, others are not, and that is reported") {
    const TestTree tree;
    tree.put("/data/key", kKey);
    tree.put("/etc/hosts.real", kKey);
    tree.put("/etc/hosts", kToken);
    tree.make_directory("/opt/memory");
    tree.make_directory("/opt/disk");
    tree.make_directory("/srv");
    struct stat status {};
    const TemporaryDirectory other;
    make_key(other.path() / "1");
    make_key(other.path() / "2");
    REQUIRE(::stat(other.path().c_str(), &status) == 0);
    const std::string told = tests::in_own_mounts([&]() -> std::string {
        if (::mount("none", tree.at("/opt/memory").c_str(), "tmpfs", 0, nullptr) != 0)
            return "no tmpfs";
        tree.put("/opt/memory/key", kKey);
        tests::bind(other.path() / "1", tree.at("/opt/disk"));
        tests::bind(other.path() / "2", tree.at("/srv"));                // at the top
        tests::bind(tree.at("/etc/hosts.real"), tree.at("/etc/hosts"));  // read beneath it
        std::string lines;
        const SecretScan result = scan(tree);
        for (const std::string& line : found_in(result)) lines += line + "\n";
        for (const std::string& line : not_scanned_in(result)) lines += line + "\n";
        for (const std::string& line : left_out_in(result)) lines += line + "\n";
        return lines;
    });
    struct statfs file_system {};
    REQUIRE(::statfs(other.path().c_str(), &file_system) == 0);
    const std::string why(why_not_entered(status.st_dev, file_system.f_type));
    std::string expected =
        "/data/key:1 private key (PEM)\n/etc/hosts:1 GitHub token\n"
        "/etc/hosts.real:1 private key (PEM)\n";
    if (why.empty())
        expected += "/opt/disk/key:1 private key (PEM)\n/srv/key:1 private key (PEM)\n";
    if (!why.empty()) expected += "/opt/disk: " + why + "\n";
    expected += "/opt/memory: what is mounted there is not on a disk\n";
    if (!why.empty()) expected += "/srv: " + why + "\n";
    CHECK(told == expected);
}

TEST_CASE("an overlay is searched") {
    const TestTree tree;
    tree.put("/sysroot/lower/app/key", kKey);
    tree.make_directory("/sysroot/empty");
    tree.make_directory("/etc");
    tree.make_directory("/var/lib/docker/overlay2/1/merged");
    const std::string layers =
        "lowerdir=" + tree.at("/sysroot/lower").string() + ":" + tree.at("/sysroot/empty").string();
    const std::string told = tests::in_own_mounts([&]() -> std::string {
        for (const char* const place : {"/etc", "/var/lib/docker/overlay2/1/merged"}) {
            if (::mount("overlay", tree.at(place).c_str(), "overlay", MS_RDONLY, layers.c_str()))
                return "no overlay";
        }
        std::string lines;
        const SecretScan result = scan(tree);
        for (const std::string& line : found_in(result)) lines += line + "\n";
        for (const std::string& line : not_scanned_in(result)) lines += line + "\n";
        for (const std::string& line : left_out_in(result)) lines += line + "\n";
        return lines;
    });
    CHECK(told ==
          "/etc/app/key:1 private key (PEM)\n/sysroot/lower/app/key:1 private key (PEM)\n"
          "/var/lib/docker/overlay2: container images\n");
}

TEST_CASE("a directory that is mounted at several paths is searched once") {
    // As nodes have it: data of the kubelet on another disk, and a tree that is mounted in itself.
    const TemporaryDirectory disk;
    const std::filesystem::path& tree = disk.path();
    make_key(tree / "mnt/disk/kubelet/pods");
    make_key(tree / "var/lib/kubelet");
    make_key(tree / "opt/app");
    std::filesystem::create_directories(tree / "srv/app");
    std::filesystem::create_directories(tree / "media/all");
    const std::string told = tests::in_own_mounts([&]() -> std::string {
        tests::bind(tree / "mnt/disk/kubelet", tree / "var/lib/kubelet");
        tests::bind(tree / "opt/app", tree / "srv/app");
        tests::bind(tree, tree / "media/all");
        std::string lines;
        const SecretScan result = scan_for_secrets(machine::Root(tree), {}, {}, {}, {});
        for (const std::string& line : found_in(result)) lines += line + "\n";
        for (const std::string& line : left_out_in(result)) lines += line + "\n";
        return lines + std::to_string(result.files);
    });
    struct stat status {};
    struct statfs file_system {};
    REQUIRE(::stat(tree.c_str(), &status) == 0);
    REQUIRE(::statfs(tree.c_str(), &file_system) == 0);
    std::string expected;
    if (const std::string why(why_not_entered(status.st_dev, file_system.f_type)); !why.empty()) {
        expected =
            "/mnt/disk/kubelet/pods/key:1 private key (PEM)\n/opt/app/key:1 private key (PEM)\n";
        for (const char* const path : {"/media/all", "/srv/app", "/var/lib/kubelet"})
            expected += path + (": " + why) + "\n";
    } else {
        const std::string again =
            ": mounted at several paths, and searched at another one of them\n";
        expected =
            "/opt/app/key:1 private key (PEM)\n/var/lib/kubelet/pods/key:1 private key (PEM)\n"
            "/media/all" +
            again + "/mnt/disk/kubelet" + again + "/srv/app" + again;
    }
    CHECK(told == expected + "2");
}

TEST_CASE("read-only snapshots of btrfs are left out") {
    constexpr long kBtrfs = 0x9123683e;
    CHECK(is_read_only_snapshot(kBtrfs, 256, 2));
    CHECK(!is_read_only_snapshot(kBtrfs, 256, 0));  // one that can be written
    CHECK(!is_read_only_snapshot(kBtrfs, 257, 2));  // a directory in one
    CHECK(!is_read_only_snapshot(0xef53, 256, 2));  // ext4
}

TEST_CASE("which file systems are on a disk") {
    const auto is_searched = [](dev_t device, long type) {
        return why_not_entered(device, type).empty();
    };
    CHECK(is_searched(::makedev(259, 1), 0xef53));      // ext4 on NVMe
    CHECK(is_searched(::makedev(0, 40), 0x9123683e));   // btrfs
    CHECK(is_searched(::makedev(0, 41), 0x2fc12fc1));   // ZFS
    CHECK(!is_searched(::makedev(0, 42), 0x01021994));  // tmpfs
    CHECK(!is_searched(::makedev(0, 43), 0x6969));      // NFS
    CHECK(is_searched(::makedev(0, 44), 0x794c7630));   // overlay: /etc on Flatcar
    CHECK(!is_searched(::makedev(7, 3), 0x73717368));   // squashfs: a snap
    CHECK(!is_searched(::makedev(11, 0), 0x9660));      // an installer's medium
}

TEST_CASE("a caller of the scan adds findings of its own") {
    const TestTree tree;
    tree.put("/etc/a", "one\ntwo " + kToken + "\n");
    tree.put("/opt/b", "two\n");
    const SecretScan result =
        scan_for_secrets(tree.root(), {}, {}, {}, {},
                         [](std::string_view path, std::string_view text, std::size_t from,
                            std::size_t to, std::vector<LocatedSecret>& located) {
                             const std::size_t at = text.find("two", from);
                             if (path == "/etc/a" && at < to)
                                 located.push_back({"a two", at, Evidence::value});
                         });
    CHECK(found_in(result) == Lines{"/etc/a:2 GitHub token", "/etc/a:2 a two"});
    CHECK(result.secrets.at(1).evidence == Evidence::value);
}

}  // namespace prebake::identity::secrets::scan_test
