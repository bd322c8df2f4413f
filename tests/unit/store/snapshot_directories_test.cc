#include "agent/store/snapshot_directories.h"

#include <doctest/doctest.h>

#include "tests/unit/temporary_directory.h"

namespace prebake::store::snapshot_directories_test {

using containerd::Mount;
using Paths = std::vector<std::filesystem::path>;

Mount bind_of(const std::string& source, std::vector<std::string> options = {"rw", "rbind"}) {
    return {.type = "bind", .source = source, .target = {}, .options = std::move(options)};
}
Mount overlay_of(std::vector<std::string> options) {
    return {.type = "overlay", .source = "overlay", .target = {}, .options = std::move(options)};
}

TEST_CASE("the directories of a snapshot without a parent, and of one with parents") {
    struct Row {
        const char* what;
        Mount mount;
        const char* upper;
        Paths lowers;
    };
    const std::vector<Row> rows{
        {"no parent", bind_of("/s/1/fs"), "/s/1/fs", {}},
        {"options of 1.6: its own first",
         overlay_of({"index=off", "workdir=/s/2/work", "upperdir=/s/2/fs", "lowerdir=/s/1/fs"}),
         "/s/2/fs",
         {"/s/1/fs"}},
        {"options of 2.x: its own last",
         overlay_of(
             {"workdir=/s/3/work", "upperdir=/s/3/fs", "lowerdir=/s/2/fs:/s/1/fs", "index=off"}),
         "/s/3/fs",
         {"/s/2/fs", "/s/1/fs"}},
        {"names with colons",
         overlay_of({"workdir=/w", "upperdir=/a:b/2", R"(lowerdir=/a\:b/1:/a\:b/0)"}),
         "/a:b/2",
         {"/a:b/1", "/a:b/0"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        const SnapshotDirectories found = directories_of({row.mount});
        CHECK(found.obstacle.empty());
        CHECK(found.upper == row.upper);
        CHECK(found.lowers == row.lowers);
    }
}

TEST_CASE("mounts that only containerd can fill") {
    struct Row {
        std::vector<Mount> mounts;
        const char* obstacle;
    };
    const std::vector<std::string> plain{"workdir=/w", "upperdir=/u", "lowerdir=/l"};
    const auto with = [&](const std::string& option) {
        std::vector<std::string> options = plain;
        options.push_back(option);
        return std::vector<Mount>{overlay_of(options)};
    };
    const std::vector<Row> rows{
        {{}, "it is made of 0 mounts"},
        {{bind_of("/a"), bind_of("/b")}, "it is made of 2 mounts"},
        {{bind_of("/a", {"ro", "rbind"})}, "its mount is read-only"},
        {{bind_of("a")}, "its mount names a relative directory"},
        {{overlay_of({"workdir=/w", "upperdir=/u", "lowerdir=/l:m"})},
         "its mount names a relative directory"},
        {{overlay_of({"lowerdir=/l:/m"})}, "its overlay mount has no upperdir"},
        {with("userxattr"), "its mount has the option userxattr"},
        {with("uidmap=0:1000:1"), "its mount has the option uidmap=0:1000:1"},
        {with("gidmap=0:1000:1"), "its mount has the option gidmap=0:1000:1"},
        {{{.type = "erofs", .source = "/x", .target = {}, .options = {}}},
         "it is a mount of the type erofs"},
        {{{.type = "btrfs", .source = "/x", .target = {}, .options = {}}},
         "it is a mount of the type btrfs"},
    };
    for (const Row& row : rows) {
        const SnapshotDirectories found = directories_of(row.mounts);
        CHECK(found.obstacle == row.obstacle);
        CHECK(found.upper.empty());
        CHECK(found.lowers.empty());
    }
}

TEST_CASE("a directory that cannot be seen is an obstacle") {
    const TemporaryDirectory directory;
    const std::string here = directory.path().string();
    CHECK(visible_directories_of({bind_of(here)}).upper == here);
    CHECK(visible_directories_of({bind_of(here + "/fs")}).obstacle ==
          here + "/fs is not visible from here");
    CHECK(visible_directories_of({overlay_of({"upperdir=" + here, "lowerdir=" + here + "/below"})})
              .obstacle == here + "/below is not visible from here");
    CHECK(visible_directories_of({bind_of(here + "/fs")}).is_hidden);
    CHECK_FALSE(visible_directories_of({bind_of("a")}).is_hidden);
    CHECK(visible_directories_of({bind_of("a")}).obstacle ==
          "its mount names a relative directory");
}

TEST_CASE("the directories of a view") {
    const TemporaryDirectory directory;
    const auto at = [&](const std::string& name) { return (directory.path() / name).string(); };
    for (const char* name : {"1", "2", "3"}) std::filesystem::create_directory(at(name));
    struct Row {
        const char* what;
        std::vector<Mount> mounts;
        std::size_t layers;
        Paths lowers;
        std::string obstacle;
    };
    const Mount three =
        overlay_of({"index=off", "lowerdir=" + at("3") + ":" + at("2") + ":" + at("1")});
    const Mount native = bind_of(at("1"), {"ro", "rbind"});
    const std::vector<Row> rows{
        {"one layer", {native}, 1, {at("1")}, ""},
        {"three layers", {three}, 3, {at("3"), at("2"), at("1")}, ""},
        {"copies of all layers below",
         {native},
         3,
         {},
         "it does not have one directory for each layer"},
        {"mapped users",
         {overlay_of({"uidmap=0:1:2", "lowerdir=" + at("2") + ":" + at("1")})},
         2,
         {},
         "its mount has the option uidmap=0:1:2"},
        {"another kind",
         {{.type = "erofs", .source = at("1"), .target = {}, .options = {}}},
         1,
         {},
         "it is a mount of the type erofs"},
        {"several", {native, native}, 2, {}, "it is made of 2 mounts"},
        {"relative", {bind_of("1")}, 1, {}, "its mount names a relative directory"},
        {"nowhere", {bind_of("")}, 1, {}, "its mount names a relative directory"},
        {"not here", {bind_of(at("4"))}, 1, {}, at("4") + " is not visible from here"},
        {"mounted there", {bind_of("/proc")}, 1, {}, "/proc is a file system of its own"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        const SnapshotDirectories found = viewed_directories_of(row.mounts, row.layers);
        CHECK(found.obstacle == row.obstacle);
        CHECK(found.lowers == row.lowers);
        CHECK(found.upper.empty());
    }
}

}  // namespace prebake::store::snapshot_directories_test
