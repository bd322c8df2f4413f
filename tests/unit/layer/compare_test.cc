// Single kinds of damage. That nothing is found in whole trees, and that random damage is, shows
// tests/system/test_layer_trees.py.
#include "agent/layer/compare.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/layer/expected_tree.h"
#include "agent/layer/key_table.h"
#include "agent/layer/path_keys.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/layer/tar_builder.h"
#include "tests/unit/layer/written_tree.h"

namespace prebake::layer::compare_test {

using tests::contains;
using tests::is_root;
using tests::pax_record;
using tests::tar_directory;
using tests::tar_extension;
using tests::tar_file;
using tests::tar_hard_link;
using tests::tar_symlink;
using tests::TarBlock;
using tests::TextSource;
using tests::thrown_by;
using tests::WrittenTree;

Comparison compared(const WrittenTree& tree, const std::string& tar,
                    Whiteouts whiteouts = Whiteouts::overlay,
                    const std::vector<const WrittenTree*>& lowers = {},
                    PathOpening opening = PathOpening::openat2_if_possible) {
    TextSource source(tar);
    std::vector<int> fds;
    for (const WrittenTree* lower : lowers) fds.push_back(lower->fd());
    Comparison result = compare(
        source, {.root = tree.fd(), .lowers = fds, .whiteouts = whiteouts, .opening = opening});
    CHECK(source.is_at_end());
    return result;
}

/// "path: expected X, found Y" for each difference.
std::vector<std::string> lines_of(const Comparison& comparison) {
    std::vector<std::string> lines;
    for (const Difference& one : comparison.differences) {
        lines.push_back(one.path + ": expected " + one.expected + ", found " + one.found);
    }
    return lines;
}

void write_over(const std::filesystem::path& path, const std::string& contents) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << contents;
    const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

/// Calls `change`, and gives the directory its time back.
void change_in(const WrittenTree& tree, const std::string& directory,
               const std::function<void()>& change) {
    struct stat before = tree.status(directory);
    change();
    const timespec times[2] = {before.st_atim, before.st_mtim};
    ::utimensat(AT_FDCWD, tree.at(directory).c_str(), times, 0);
}

TEST_CASE("each kind of damage is found, and nothing else" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const std::string large(300'000, 'x');
    const std::string capability("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    const std::string tar =
        tar_directory("d") + tar_file("d/f", large) + tar_file("d/empty", "") +
        tar_symlink("d/l", "f") + TarBlock("d/null", '3').mode(0666).str() +
        tar_extension('x', pax_record("SCHILY.xattr.security.capability", capability)) +
        tar_file("d/x", "x") + tar_hard_link("d/h", "d/f") + tar_file("d/g", large);
    const auto place = [](const WrittenTree& tree, const std::string& path) {
        return tree.at(path).string();
    };
    struct Row {
        const char* what;
        std::function<void(const WrittenTree&)> damage;
        const char* line;
    };
    const std::vector<Row> rows{
        {"nothing", [](const WrittenTree&) {}, ""},
        {"empty", [&](const WrittenTree& t) { write_over(t.at("d/g"), ""); },
         "d/g: expected 300000 bytes, found 0 bytes"},
        {"the last byte",
         [&](const WrittenTree& t) { write_over(t.at("d/g"), large.substr(1) + "y"); },
         "found other contents of the same size"},
        {"not empty any more", [&](const WrittenTree& t) { write_over(t.at("d/empty"), "y"); },
         "d/empty: expected 0 bytes, found 1 byte"},
        {"mode", [&](const WrittenTree& t) { ::chmod(place(t, "d/g").c_str(), 0600); },
         "d/g: expected mode 0644, found mode 0600"},
        {"mode of a directory", [&](const WrittenTree& t) { ::chmod(place(t, "d").c_str(), 0700); },
         "d: expected mode 0755, found mode 0700"},
        {"setuid", [&](const WrittenTree& t) { ::chmod(place(t, "d/g").c_str(), 04644); },
         "d/g: expected mode 0644, found mode 4644"},
        {"owner", [&](const WrittenTree& t) { ::lchown(place(t, "d/l").c_str(), 7, 8); },
         "d/l: expected owner 0:0, found owner 7:8"},
        {"time",
         [&](const WrittenTree& t) {
             const timespec times[2] = {{0, UTIME_OMIT}, {5, 500'000'000}};
             ::utimensat(AT_FDCWD, place(t, "d").c_str(), times, 0);
         },
         "d: expected modified at 2001-09-09T01:46:40Z, found modified at 1970-01-01T00:00:05.5Z"},
        {"a capability is gone",
         [&](const WrittenTree& t) {
             ::removexattr(place(t, "d/x").c_str(), "security.capability");
         },
         "d/x: expected xattr security.capability, found no xattr security.capability"},
        {"an xattr is added",
         [&](const WrittenTree& t) {
             ::setxattr(place(t, "d/x").c_str(), "security.other", "1", 1, 0);
         },
         "d/x: expected no xattr security.other, found xattr security.other"},
        {"what SELinux writes",
         [&](const WrittenTree& t) {
             ::setxattr(place(t, "d/x").c_str(), "security.selinux", "1", 1, 0);
         },
         ""},
        {"gone",
         [&](const WrittenTree& t) {
             change_in(t, "d", [&] { std::filesystem::remove(t.at("d/g")); });
         },
         "d/g: expected a regular file of 300000 bytes, found nothing"},
        {"surplus",
         [&](const WrittenTree& t) {
             change_in(t, "d", [&] { std::filesystem::create_symlink("f", t.at("d/new")); });
         },
         "d/new: expected nothing, found a link to f"},
        {"another link",
         [&](const WrittenTree& t) {
             change_in(t, "d", [&] {
                 std::filesystem::remove(t.at("d/l"));
                 std::filesystem::create_symlink("g", t.at("d/l"));
             });
         },
         "d/l: expected a link to f, found a link to g"},
        {"another device",
         [&](const WrittenTree& t) {
             change_in(t, "d", [&] {
                 std::filesystem::remove(t.at("d/null"));
                 ::mknod(place(t, "d/null").c_str(), S_IFCHR | 0666, 1 << 8 | 7);
             });
         },
         "found a character device 1:7"},
        {"a copy instead of a link",
         [&](const WrittenTree& t) {
             change_in(t, "d", [&] {
                 std::filesystem::remove(t.at("d/h"));
                 write_over(t.at("d/h"), large);
             });
         },
         "a hard link to its other names in the layer"},
        {"a link instead of a copy",
         [&](const WrittenTree& t) {
             change_in(t, "d", [&] {
                 std::filesystem::remove(t.at("d/g"));
                 std::filesystem::create_hard_link(t.at("d/f"), t.at("d/g"));
             });
         },
         "a hard link to another file of the layer"},
    };
    for (const Row& row : rows) {
        for (const PathOpening opening : {PathOpening::openat2_if_possible, PathOpening::walk}) {
            CAPTURE(row.what);
            const WrittenTree tree;
            tree.write(tar);
            row.damage(tree);
            const Comparison found = compared(tree, tar, Whiteouts::overlay, {}, opening);
            const auto lines = lines_of(found);
            CAPTURE(lines.empty() ? std::string() : lines.front());
            CHECK(found.total == (*row.line == '\0' ? 0 : 1));
            CHECK(lines.size() == found.total);
            if (!lines.empty()) CHECK(lines.front().find(row.line) != std::string::npos);
        }
    }
}

TEST_CASE("what replaces something in one layer is what counts" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const std::vector<std::string> tars{
        tar_file("a", "one") + tar_file("a", "three"),
        // The link keeps what the name had.
        tar_file("a", "one") + tar_hard_link("h", "a") + tar_file("a", "two"),
        tar_file("a", "one") + tar_hard_link("h", "a") + tar_file("h", "one"),
        tar_directory("d") + tar_file("d/x", "x") + tar_symlink("d", "e") + tar_directory("e"),
        // The name leads elsewhere at the end.
        tar_symlink("l", "a") + TarBlock("l/d", '5').mtime(7).str() + tar_directory("l") +
            tar_file("l/d/x", "x"),
        TarBlock("a", '5').mtime(5).str() + TarBlock("b", '5').mtime(6).str() +
            tar_symlink("a", "b") + tar_file("a/x", ""),
        tar_file("i/j/k", "1") + tar_directory("i/j", 0700),
        tar_file("a/b", "1") + tar_file("a", "file"),
    };
    for (const std::string& tar : tars) {
        const WrittenTree tree;
        tree.write(tar);
        CHECK(lines_of(compared(tree, tar)) == std::vector<std::string>{});
    }
}

TEST_CASE("a file that has lost its first contents is found by its other name" *
          doctest::test_suite("root")) {
    if (!is_root()) return;
    for (const char* last : {"two", "one"}) {
        const std::string tar =
            tar_file("a", "one") + tar_hard_link("h", "a") + tar_file("a", last);
        const WrittenTree tree;
        tree.write(tar);
        write_over(tree.at("h"), "own");
        const Comparison found = compared(tree, tar);
        REQUIRE(found.total == 1);
        CHECK(found.differences.front().path == "h");
    }
}

TEST_CASE("what the layer itself removes must not be there" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const std::string tar = tar_directory("d") + tar_file("d/x", "x") + TarBlock(".wh.d").str() +
                            tar_directory("d") + tar_file("d/y", "y");
    const WrittenTree tree(Whiteouts::apply);
    tree.write(tar);
    CHECK(lines_of(compared(tree, tar, Whiteouts::apply)) == std::vector<std::string>{});
    change_in(tree, "d", [&] { write_over(tree.at("d/x"), "x"); });
    CHECK(lines_of(compared(tree, tar, Whiteouts::apply)) ==
          std::vector<std::string>{"d/x: expected nothing, found a regular file of 1 byte"});
}

TEST_CASE("whiteouts, and attributes from lower layers" * doctest::test_suite("root")) {
    if (!is_root()) return;
    const std::string below = TarBlock("d", '5').mode(0711).owner(5, 6).mtime(50).str() +
                              TarBlock("e", '5').mode(0700).mtime(60).str() + tar_file("d/f", "1");
    const std::string above = tar_file("d/new", "2") + TarBlock("d/.wh.f").owner(3, 4).str() +
                              TarBlock("e/.wh..wh..opq").str();
    const WrittenTree lower(Whiteouts::apply);
    lower.write(below);
    const WrittenTree upper;
    upper.write(above, {&lower});
    const auto found = [&] {
        return lines_of(compared(upper, above, Whiteouts::overlay, {&lower}));
    };
    CHECK(found() == std::vector<std::string>{});

    ::chmod(upper.at("d").c_str(), 0755);
    CHECK(found() == std::vector<std::string>{"d: expected mode 0711, found mode 0755"});
    ::chmod(upper.at("d").c_str(), 0711);
    // Nothing was put into e, so it has the time of the lower one.
    const timespec times[2] = {{0, UTIME_OMIT}, {61, 0}};
    ::utimensat(AT_FDCWD, upper.at("e").c_str(), times, 0);
    CHECK(found().size() == 1);
    const timespec again[2] = {{0, UTIME_OMIT}, {60, 0}};
    ::utimensat(AT_FDCWD, upper.at("e").c_str(), again, 0);
    ::removexattr(upper.at("e").c_str(), "trusted.overlay.opaque");
    CHECK(found() ==
          std::vector<std::string>{"e: expected an opaque directory, found one that is not"});
    ::setxattr(upper.at("e").c_str(), "trusted.overlay.opaque", "y", 1, 0);
    std::filesystem::remove(upper.at("d/f"));
    CHECK(found() == std::vector<std::string>{"d/f: expected a whiteout, found nothing"});

    // Whether a lower layer is right is its own affair.
    ::mknod(upper.at("d/f").c_str(), S_IFCHR, 0);
    ::lchown(upper.at("d/f").c_str(), 3, 4);
    ::chmod(lower.at("d").c_str(), 0777);
    CHECK(found().size() == 1);
    TextSource source(above);
    const int below_fd = lower.fd();
    CHECK(compare(source, {.root = upper.fd(),
                           .lowers = {&below_fd, 1},
                           .whiteouts = Whiteouts::overlay,
                           .are_lowers_sound = false})
              .total == 0);
}

TEST_CASE("a missing directory is one difference" * doctest::test_suite("root")) {
    if (!is_root()) return;
    std::string tar = tar_directory("d");
    for (int i = 0; i < 100; ++i) tar += tar_file("d/" + std::to_string(i), "x");
    const WrittenTree tree;
    tree.write(tar);
    std::filesystem::remove_all(tree.at("d"));
    CHECK(lines_of(compared(tree, tar)) ==
          std::vector<std::string>{"d: expected a directory, found nothing"});
}

TEST_CASE("all differences are counted, and the first are kept" * doctest::test_suite("root")) {
    if (!is_root()) return;
    constexpr std::size_t kFiles = ExpectedTree::kMaxMismatches + 500;
    std::string tar;
    for (std::size_t i = 0; i < kFiles; ++i) tar += tar_file("f" + std::to_string(i), "x");
    const WrittenTree tree;
    tree.write(tar);
    for (std::size_t i = 0; i < kFiles; ++i) write_over(tree.at("f" + std::to_string(i)), "");
    const Comparison emptied = compared(tree, tar);
    CHECK(emptied.total == kFiles);
    CHECK(emptied.differences.size() == Comparison::kMaxDifferences);
    CHECK_FALSE(emptied.is_cut_short);
    CHECK(emptied.files == kFiles);

    // All of them again: what was found about the first ones does not count.
    std::string twice;
    for (std::size_t i = 0; i < kFiles; ++i) twice += tar_file("f" + std::to_string(i), "y");
    const WrittenTree again;
    again.write(twice + tar);
    CHECK(compared(again, twice + tar).total == 0);

    const WrittenTree nothing;
    const Comparison lost = compared(nothing, tar);
    CHECK(lost.is_cut_short);
    CHECK(lost.total >= ExpectedTree::kMaxMismatches);
}

TEST_CASE("the directory is not left") {
    const WrittenTree outside(Whiteouts::apply);
    std::ofstream(outside.at("secret")) << "x";
    const WrittenTree tree;
    std::filesystem::create_directory_symlink(outside.at("."), tree.at("d"));
    const Comparison found = compared(tree, tar_directory("d") + tar_file("d/secret", "x"));
    REQUIRE(found.total == 1);
    CHECK(found.differences.front().path == "d");
}

TEST_CASE("a layer that nobody can have written is an error") {
    const WrittenTree tree;
    std::ofstream(tree.at("a")) << "x";
    const auto code = [&](const std::string& tar) {
        return thrown_by([&] { compared(tree, tar); }).code();
    };
    CHECK(code(tar_file("a", "x") + tar_file("a/b", "y")) == Errc::corrupt);
    CHECK(code(tar_hard_link("h", "nothing")) == Errc::corrupt);
    CHECK(code(TarBlock("a", 'V').str()) == Errc::corrupt);
}

TEST_CASE("a table of keys") {
    KeyTable<std::uint16_t> table;
    CHECK(table.find(0) == nullptr);
    for (std::uint64_t key = 0; key < 10'000; ++key) {
        table.at(key * 4096) = static_cast<std::uint16_t>(key);
    }
    for (std::uint64_t key = 0; key < 10'000; ++key) {
        REQUIRE(table.find(key * 4096) != nullptr);
        CHECK(*table.find(key * 4096) == static_cast<std::uint16_t>(key));
    }
    CHECK(table.find(4097) == nullptr);
}

TEST_CASE("what is below a removed directory has new keys") {
    PathKeys keys;
    const std::uint64_t directory = keys.child(PathKeys::kRoot, "d");
    const std::uint64_t file = keys.child(directory, "f");
    const std::uint64_t other = keys.child(PathKeys::kRoot, "other");
    CHECK(directory == PathKeys::plain_child(PathKeys::kRoot, "d"));
    keys.remove(PathKeys::kRoot, "d");
    const std::uint64_t again = keys.child(PathKeys::kRoot, "d");
    CHECK(again != directory);
    CHECK(keys.child(again, "f") != file);
    CHECK(keys.child(PathKeys::kRoot, "other") == other);
    keys.remove(PathKeys::kRoot, "d");
    CHECK(keys.child(PathKeys::kRoot, "d") != again);
}

}  // namespace prebake::layer::compare_test
