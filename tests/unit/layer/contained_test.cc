#include "agent/layer/contained.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/layer/removal.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::layer {
namespace {

namespace fs = std::filesystem;
using tests::thrown_by;

constexpr PathOpening kBoth[] = {PathOpening::openat2_if_possible, PathOpening::walk};

/// "tree" with "outside" beside it.
struct Tree {
    Tree() {
        fs::create_directories(at("d/e/f"));
        fs::create_directories(at("q/r"));
        fs::create_directories(directory / "outside");
        std::ofstream(at("file")) << "x";
        link("relative", "d/e");
        link("absolute", "/d/e");
        link("up", "../../../outside");
        link("out", directory / "outside");
        link("d/e/back", "../..");
        link("loop", "loop");
        link("dangling", "/no/where");
        link("to_r", "q/r");
        link("by_text", "to_r/../x");
        link("second", "to_r");
        link("twice", "relative/f");
        fd = FileDescriptor(::open(at("").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    fs::path at(const std::string& path) const { return directory / "tree" / path; }
    void link(const std::string& path, const fs::path& target) const {
        fs::create_symlink(target, at(path));
    }

    TemporaryDirectory directory;
    FileDescriptor fd;
};

TEST_CASE("clean paths") {
    struct Row {
        std::string_view path;
        std::string_view clean;
    };
    const Row rows[] = {
        {"", ""},
        {".", ""},
        {"/", ""},
        {"..", ""},
        {"../..", ""},
        {"/..", ""},
        {"a", "a"},
        {"/a", "a"},
        {"./a", "a"},
        {"a/", "a"},
        {"a//b", "a/b"},
        {"a/./b", "a/b"},
        {"a/../b", "b"},
        {"a/b/..", "a"},
        {"a/..", ""},
        {"../a", "a"},
        {"../../a/b", "a/b"},
        {"a/../../b", "b"},
        {"a/.../b", "a/.../b"},
        {"..a/b", "..a/b"},
        {"a/b/../../c/", "c"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.path);
        CHECK(clean_path(row.path) == row.clean);
    }
}

TEST_CASE("links are resolved inside the tree, as containerd does it") {
    const Tree tree;
    struct Row {
        std::string_view path;
        std::string_view resolved;
    };
    const Row rows[] = {
        {"", ""},
        {"d/e", "d/e"},
        {"/d/./e/../e", "d/e"},
        {"relative", "d/e"},
        {"relative/new", "d/e/new"},
        {"absolute/new/deep", "d/e/new/deep"},
        {"up", "outside"},
        {"up/x", "outside/x"},
        {"d/e/back/q", "q"},
        {"dangling/x", "no/where/x"},
        {"twice", "d/e/f"},
        {"missing/../relative", "d/e"},
        {"../../relative", "d/e"},
        {"by_text", "q/x"},
        {"to_r/../x", "q/x"},
        // ".." removes what is written before it, also a link, which the kernel would follow.
        {"second/../x", "x"},
    };
    for (const PathOpening opening : kBoth) {
        const Contained contained(tree.fd.get(), opening);
        for (const Row& row : rows) {
            CAPTURE(row.path);
            CHECK(contained.resolve(row.path) == row.resolved);
        }
        const std::string outside = (tree.directory / "outside").string().substr(1);
        CHECK(contained.resolve("out/x") == outside + "/x");
        for (const std::string& path : {std::string("loop"), std::string("loop/x"),
                                        std::string("file/x/y"), std::string(256, 'x')}) {
            CAPTURE(path);
            CHECK(thrown_by([&] { contained.resolve(path); }).code() == Errc::corrupt);
        }
    }
}

TEST_CASE("what cannot be opened from inside the tree") {
    const Tree tree;
    struct Row {
        std::string path;
        LinksAmongDirectories links;
        int number;  // 0: it is opened
    };
    constexpr auto kRefuse = LinksAmongDirectories::refuse;
    constexpr auto kFollow = LinksAmongDirectories::follow;
    const Row rows[] = {
        {"", kRefuse, 0},           {"d/e/f", kRefuse, 0},
        {"relative/f", kFollow, 0}, {"relative/f", kRefuse, ELOOP},
        {"d/e/back/q", kFollow, 0}, {"absolute/f", kFollow, EXDEV},
        {"up/x", kFollow, EXDEV},   {"out/x", kFollow, EXDEV},
        {"..", kRefuse, EXDEV},     {"d/../..", kFollow, EXDEV},
        {"loop/x", kFollow, ELOOP}, {"file/x", kFollow, ENOTDIR},
        {"no", kFollow, ENOENT},
    };
    for (const PathOpening opening : kBoth) {
        const Contained contained(tree.fd.get(), opening);
        for (const Row& row : rows) {
            CAPTURE(row.path);
            CAPTURE(static_cast<int>(opening));
            const FileDescriptor fd = contained.open(row.path, O_PATH, row.links);
            const int number = fd ? 0 : errno;
            CHECK(number == row.number);
        }
        // A link in the last place is opened, not followed.
        const FileDescriptor link = contained.open("out", O_PATH, kRefuse);
        struct stat status = {};
        REQUIRE(::fstat(link.get(), &status) == 0);
        CHECK(S_ISLNK(status.st_mode));
    }
}

TEST_CASE("removal of trees") {
    const Tree tree;
    // Deeper than descriptors are allowed, and longer than a path may be.
    FileDescriptor here(::open(tree.at("d").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::string name(200, 'x');
    for (int i = 0; i < 3000; ++i) {
        REQUIRE(::mkdirat(here.get(), name.c_str(), 0700) == 0);
        here =
            FileDescriptor(::openat(here.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        REQUIRE(here);
    }
    std::ofstream(tree.at("d/file")) << "x";
    tree.link("d/link", tree.directory / "outside");
    std::ofstream(tree.directory / "outside/kept") << "x";
    remove_tree(tree.fd.get(), "d", "d");
    CHECK_FALSE(fs::exists(tree.at("d")));
    remove_tree(tree.fd.get(), "out", "out");
    CHECK_FALSE(fs::is_symlink(tree.at("out")));
    remove_tree(tree.fd.get(), "missing", "missing");
    remove_tree(tree.fd.get(), "file", "file");
    CHECK_FALSE(fs::exists(tree.at("file")));
    CHECK(fs::exists(tree.directory / "outside/kept"));
}

}  // namespace
}  // namespace prebake::layer
