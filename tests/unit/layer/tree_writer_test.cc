// Here are single rules. That all of them together make the trees that containerd makes is shown by
// tests/system/test_layer_trees.py.
#include "agent/layer/tree_writer.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/layer/tar_builder.h"
#include "tests/unit/layer/written_tree.h"

namespace prebake::layer {
namespace {

using namespace std::string_literals;
using tests::contains;
using tests::is_root;
using tests::pax_record;
using tests::tar_directory;
using tests::tar_extension;
using tests::tar_file;
using tests::tar_hard_link;
using tests::tar_symlink;
using tests::TarBlock;
using tests::thrown_by;
using tests::WrittenTree;

TEST_CASE("files get what their entries say" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const WrittenTree tree;
    tree.write(
        TarBlock("bin", '5').mode(0750).owner(7, 8).mtime(100).str() +
        TarBlock("bin/su", '0', 2).mode(04755).owner(1000, 2000).mtime(77).str() +
        tests::padded("#!") + TarBlock("tmp", '5').mode(01777).str() +
        TarBlock("null", '3').mode(0666).set(329, "0000001\0"s).set(337, "0000003\0"s).str() +
        TarBlock("disk", '4').mode(0660).owner(0, 6).set(329, "0000010\0"s).str() +
        TarBlock("pipe", '6').mode(0622).str() +
        TarBlock("link", '2').link("bin/su").owner(5, 6).mtime(55).str() +
        tar_hard_link("bin/same", "bin/su") + tar_file("plain", "text"));
    CHECK(tree.attributes("bin") == "40750 7:8");
    // The hard link is written last: its header counts for both.
    CHECK(tree.attributes("bin/su") == "100644 0:0");
    CHECK(tree.status("bin/su").st_ino == tree.status("bin/same").st_ino);
    CHECK(tree.status("bin").st_mtim.tv_sec == 100);
    CHECK(tree.attributes("tmp") == "41777 0:0");
    CHECK(tree.attributes("null") == "20666 0:0");
    CHECK(tree.status("null").st_rdev == makedev(1, 3));
    CHECK(tree.attributes("disk") == "60660 0:6");
    CHECK(tree.attributes("pipe") == "10622 0:0");
    CHECK(tree.attributes("link") == "120777 5:6");
    CHECK(tree.status("link").st_mtim.tv_sec == 55);
    CHECK(tree.contents("plain") == "text");
    CHECK(tree.attributes("plain") == "100644 0:0");

    const WrittenTree setuid;
    setuid.write(TarBlock("su", '0').mode(06755).owner(1000, 2000).mtime(77).str());
    CHECK(setuid.attributes("su") == "106755 1000:2000");
    CHECK(setuid.status("su").st_mtim.tv_sec == 77);
    CHECK(setuid.status("su").st_atim.tv_sec == 77);
}

TEST_CASE("xattrs that are set, and that are ignored" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const std::string capability("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    const WrittenTree tree;
    tree.write(tar_extension('x', pax_record("SCHILY.xattr.security.capability", capability) +
                                      pax_record("SCHILY.xattr.trusted.overlay.opaque", "y") +
                                      pax_record("SCHILY.xattr.unknown.x", "y")) +
               TarBlock("ping", '0').owner(5, 5).mode(0755).str() +
               tar_extension('x', pax_record("SCHILY.xattr.user.x", "y")) +
               tar_symlink("l", "ping"));
    CHECK(tree.xattr("ping", "security.capability") == capability);
    CHECK_FALSE(tree.xattr("ping", "trusted.overlay.opaque"));
    CHECK(tree.attributes("ping") == "100755 5:5");
    CHECK(thrown_by([&] {
              tree.write(tar_extension('x', pax_record("SCHILY.xattr.", "y")) + tar_file("f", ""));
          }).code() == Errc::corrupt);
}

TEST_CASE("whiteouts of an overlay" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const WrittenTree tree;
    tree.write(tar_directory("d") + TarBlock("d/.wh.gone").owner(3, 4).str() +
               tar_file("d/.wh..wh..opq", "") + tar_file("d/new", "n") +
               tar_file(".wh..wh.plnk", "") + tar_file(".wh.x", "") + tar_directory("x"));
    CHECK(tree.attributes("d/gone") == "20000 3:4");
    CHECK(tree.status("d/gone").st_rdev == 0);
    CHECK(tree.xattr("d", "trusted.overlay.opaque") == "y");
    CHECK_FALSE(tree.has("d/.wh..wh..opq"));
    CHECK(tree.contents("d/new") == "n");
    CHECK(tree.attributes(".wh.plnk") == "20000 0:0");
    CHECK(tree.attributes("x") == "40755 0:0");
    for (const char* name : {".wh.", "d/.wh..", "d/.wh...", "d/.wh.new"}) {
        CAPTURE(name);
        CHECK(thrown_by([&] { tree.write(tar_file(name, "")); }).code() == Errc::corrupt);
    }
}

TEST_CASE("whiteouts in a plain directory" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const WrittenTree tree(Whiteouts::apply);
    tree.write(tar_directory("d") + tar_file("d/a", "") + tar_file("d/sub/b", "") +
               tar_directory("kept") + tar_file("kept/c", "") + tar_file("x", ""));
    tree.write(tar_file("d/new", "") + tar_directory("d/sub") + tar_file("d/.wh..wh..opq", "") +
               tar_file(".wh.x", "") + tar_file(".wh.missing", "") + tar_file("kept/.wh.c", ""));
    CHECK(tree.has("d/new"));
    CHECK(tree.has("d/sub"));
    CHECK_FALSE(tree.has("d/sub/b"));
    CHECK_FALSE(tree.has("d/a"));
    CHECK_FALSE(tree.has("x"));
    CHECK(tree.has("kept"));
    CHECK_FALSE(tree.has("kept/c"));
}

TEST_CASE("what is there is replaced, directories are merged" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const WrittenTree tree;
    tree.write(tar_directory("d") + tar_file("d/kept", "1") + tar_directory("d", 0711) +
               tar_file("f", "1") + tar_file("f", "2") + tar_directory("to_file") +
               tar_file("to_file/x", "") + tar_file("to_file", "3") + tar_file("to_link", "") +
               tar_symlink("to_link", "d") + tar_symlink("to_directory", "nowhere") +
               tar_directory("to_directory") + tar_file("to_directory/x", ""));
    CHECK(tree.attributes("d") == "40711 0:0");
    CHECK(tree.contents("d/kept") == "1");
    CHECK(tree.contents("f") == "2");
    CHECK(tree.contents("to_file") == "3");
    CHECK(std::filesystem::read_symlink(tree.at("to_link")) == "d");
    CHECK(tree.has("to_directory/x"));
    CHECK_FALSE(tree.has("nowhere"));
    // A header of the archive makes no file, but room for one.
    tree.write(tar_extension('g', pax_record("path", "f")));
    CHECK_FALSE(tree.has("f"));
}

TEST_CASE("every path stays inside the tree" * doctest::test_suite("root")) {
    if (!is_root()) return;
    for (const PathOpening opening : {PathOpening::openat2_if_possible, PathOpening::walk}) {
        const TemporaryDirectory outside;
        std::ofstream(outside / "secret") << "s";
        const std::string away = outside.path().string();
        const WrittenTree tree;
        tree.write(tar_file("../../up", "1") + tar_file("/absolute", "2") +
                       tar_file("a/../b", "3") + tar_symlink("out", away) + tar_file("out/x", "4") +
                       tar_symlink("above", "../../../..") + tar_file("above/y", "5") +
                       tar_directory("./") + tar_directory("..", 0777) +
                       tar_symlink("deep/l", "../b"),
                   {}, opening);
        CHECK(tree.contents("up") == "1");
        CHECK(tree.contents("absolute") == "2");
        CHECK(tree.contents("b") == "3");
        CHECK(tree.contents(away.substr(1) + "/x") == "4");
        CHECK(tree.contents("y") == "5");
        CHECK_FALSE(std::filesystem::exists(outside / "x"));
        CHECK(tree.attributes("") == "40700 0:0");
        // Nor are files outside linked, or changed through a link.
        CHECK(thrown_by([&] {
                  tree.write(tar_hard_link("h", "out/secret"), {}, opening);
              }).code() == Errc::corrupt);
        tree.write(tar_symlink("s", away + "/secret") + tar_hard_link("h", "s") +
                       TarBlock("h2", '1').link("s").mode(0777).owner(9, 9).str(),
                   {}, opening);
        CHECK(std::filesystem::is_symlink(tree.at("h2")));
        struct stat status = {};
        REQUIRE(::stat((outside / "secret").c_str(), &status) == 0);
        CHECK(status.st_uid == 0);
    }
}

TEST_CASE("hard links" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const WrittenTree tree;
    tree.write(tar_file("d/f", "1") + tar_symlink("l", "d/f") + tar_symlink("dir", "/d") +
               tar_hard_link("to_link", "l") + tar_hard_link("through_link", "dir/f") +
               tar_hard_link("unclean", "./d/../d/f") + tar_hard_link("slash", "/d/f") +
               tar_hard_link("followed", "l/"));
    CHECK(tree.status("to_link").st_ino == tree.status("l").st_ino);
    for (const char* path : {"through_link", "unclean", "slash", "followed"}) {
        CAPTURE(path);
        CHECK(tree.status(path).st_ino == tree.status("d/f").st_ino);
    }
    for (const char* target : {"missing", "missing/f", "d", "", ".", "..", "d/f/x", "h"}) {
        CAPTURE(target);
        CHECK_THROWS_AS(tree.write(tar_hard_link("h", target)), Error);
    }
}

TEST_CASE("directories that no entry describes" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const WrittenTree lowest;
    lowest.write(TarBlock("a", '5').mode(0711).owner(1, 2).mtime(11).str() +
                 TarBlock("a/b", '5').mode(02775).owner(3, 4).mtime(22).str() +
                 TarBlock("only", '5').mode(0700).mtime(44).str() +
                 TarBlock("hidden", '5').mode(0700).str());
    REQUIRE(::setxattr(lowest.at("a").c_str(), "security.test", "x", 1, 0) == 0);
    REQUIRE(::setxattr(lowest.at("a").c_str(), "trusted.test", "x", 1, 0) == 0);
    const WrittenTree middle;
    middle.write(TarBlock("a", '5').mode(0710).owner(5, 6).str() + tar_symlink("hidden", "a"));
    const WrittenTree top;
    top.write(tar_file("a/b/c/file", "") + tar_file("only/.wh..wh..opq", "") +
                  tar_file("new/x/file", "") + tar_file("hidden/file", ""),
              {&middle, &lowest});
    // From the nearest layer that has them.
    CHECK(top.attributes("a") == "40710 5:6");
    CHECK_FALSE(top.xattr("a", "security.test"));
    CHECK(top.attributes("a/b") == "42775 3:4");
    // As if it had been made in a directory with setgid.
    CHECK(top.attributes("a/b/c") == "40755 0:4");
    CHECK(top.attributes("new/x") == "40755 0:0");
    // Through that layer's own links.
    CHECK(top.attributes("hidden") == "40710 5:6");
    // Its time stays only where nothing was put into it.
    CHECK(top.attributes("only") == "40700 0:0");
    CHECK(top.status("only").st_mtim.tv_sec == 44);
    CHECK(top.status("a").st_mtim.tv_sec > 1'000'000'000);

    const WrittenTree second;
    second.write(tar_file("a/file", ""), {&lowest});
    CHECK(second.attributes("a") == "40711 1:2");
    CHECK(second.xattr("a", "security.test") == "x");
    CHECK_FALSE(second.xattr("a", "trusted.test"));

    // An entry that comes later counts; the xattrs stay.
    const WrittenTree later;
    later.write(tar_file("a/file", "") + TarBlock("a", '5').mode(0700).owner(9, 9).mtime(33).str(),
                {&lowest});
    CHECK(later.attributes("a") == "40700 9:9");
    CHECK(later.status("a").st_mtim.tv_sec == 33);
    CHECK(later.xattr("a", "security.test") == "x");

    // containerd refuses what is below a file of a lower layer.
    const WrittenTree file;
    file.write(tar_file("a", ""));
    const WrittenTree below_file;
    CHECK(thrown_by([&] { below_file.write(tar_file("a/b/c", ""), {&file}); }).code() ==
          Errc::corrupt);
}

TEST_CASE("a default ACL that comes too late is left to containerd" * doctest::test_suite("root")) {
    if (!is_root()) return;
    // user::rwx, user:1:rwx, group::r-x, mask::rwx, other::r-x
    const std::string acl(
        "\2\0\0\0\1\0\7\0\xff\xff\xff\xff\2\0\7\0\1\0\0\0\4\0\5\0\xff\xff\xff\xff\x10\0\7\0"
        "\xff\xff\xff\xff\x20\0\5\0\xff\xff\xff\xff",
        44);
    const WrittenTree lower;
    lower.write(tar_directory("d"));
    REQUIRE(::setxattr(lower.at("d").c_str(), "system.posix_acl_default", acl.data(), acl.size(),
                       0) == 0);
    const WrittenTree untouched;
    untouched.write(tar_file("d/.wh..wh..opq", ""), {&lower});
    CHECK(untouched.xattr("d", "system.posix_acl_default") == acl);
    const WrittenTree tree;
    const Error error = thrown_by([&] { tree.write(tar_file("d/f", ""), {&lower}); });
    CHECK(error.code() == Errc::unsupported);
    CHECK(error.next_step() == "let containerd unpack this layer");
}

TEST_CASE("times" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const auto timed = [](const std::string& name, char type, const std::string& mtime,
                          const std::string& atime) {
        return tar_extension('x', pax_record("mtime", mtime) + pax_record("atime", atime)) +
               TarBlock(name, type).str();
    };
    const WrittenTree tree;
    tree.write(timed("d", '5', "5.5", "4") + timed("d/late", '0', "10.000000001", "20") +
               timed("before", '0', "-5", "-9") + timed("after", '0', "9223372037", "1"));
    CHECK(tree.status("d").st_mtim.tv_sec == 5);
    CHECK(tree.status("d").st_mtim.tv_nsec == 500'000'000);
    CHECK(tree.status("d").st_atim.tv_sec == 5);
    CHECK(tree.status("d/late").st_mtim.tv_nsec == 1);
    CHECK(tree.status("d/late").st_atim.tv_sec == 20);
    CHECK(tree.status("before").st_mtim.tv_sec == 0);
    CHECK(tree.status("after").st_mtim.tv_sec == 0);
}

TEST_CASE("sparse files have holes, and no file is larger than the disk" *
          doctest::test_suite("root")) {
    if (!is_root()) return;
    const auto sparse = [](const std::string& size) {
        return tar_extension('x', pax_record("GNU.sparse.size", size) +
                                      pax_record("GNU.sparse.numblocks", "1") +
                                      pax_record("GNU.sparse.map", "1000000,3")) +
               TarBlock("s", '0', 3).str() + tests::padded("abc");
    };
    const WrittenTree tree;
    tree.write(sparse("5000000"));
    CHECK(tree.status("s").st_size == 5'000'000);
    CHECK(tree.status("s").st_blocks < 1000);
    CHECK(tree.contents("s").substr(999'999, 5) == "\0abc\0"s);
    CHECK(thrown_by([&] { tree.write(sparse("9000000000000000000")); }).code() == Errc::no_space);
    // A disk that is full stops all others, too.
    const std::string dense = tar_extension('x', pax_record("size", "9000000000000000000")) +
                              TarBlock("d", '0', 0).str() + std::string(512, 'x');
    CHECK(thrown_by([&] { tree.write(dense); }).code() == Errc::no_space);
    CHECK(tree.status("d").st_size == 0);
}

TEST_CASE("names" * doctest::test_suite("root")) {
    if (!is_root()) return;
    std::string long_path = std::string(95, 'p');
    while (long_path.size() + 96 < 4096) long_path += "/" + std::string(95, 'p');
    const std::string longest = long_path + "/" + std::string(4095 - long_path.size() - 1, 'q');
    const std::string odd = "new\nline \xff\xfe";
    const WrittenTree tree;
    tree.write(tar_extension('x', pax_record("path", longest)) + tar_file("x", "1") +
               tar_file(odd, "2") + tar_file(std::string(255, 'n').substr(0, 100), ""));
    CHECK(tree.contents(odd) == "2");
    const Contained contained(tree.fd());
    CHECK(contained.open(longest, O_PATH, LinksAmongDirectories::refuse));
    for (const std::string& name :
         {longest + "r", std::string(256, 'n'), "d/" + std::string(256, 'n') + "/f"}) {
        const Error error = thrown_by(
            [&] { tree.write(tar_extension('x', pax_record("path", name)) + tar_file("x", "1")); });
        CHECK(error.code() == Errc::corrupt);
        CHECK(contains(error.message(), "File name too long"));
    }
    CHECK(thrown_by([&] { tree.write(TarBlock("f", 'Z').str()); }).code() == Errc::corrupt);
}

TEST_CASE("the error of the first attempt counts" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const WrittenTree tree;
    std::filesystem::remove(tree.at(""));
    for (const std::string& entry : {tar_file("x", "1"), tar_directory("x")}) {
        const Error error = thrown_by([&] { tree.write(entry); });
        CHECK(contains(error.message(), "No such file or directory"));
    }
}

}  // namespace
}  // namespace prebake::layer
