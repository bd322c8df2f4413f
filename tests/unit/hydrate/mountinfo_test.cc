#include "agent/hydrate/mountinfo.h"

#include <doctest/doctest.h>

namespace prebake::hydrate::mountinfo_test {

TEST_CASE("the directories below an overlay") {
    struct Row {
        const char* name;
        std::string options;
        std::vector<std::filesystem::path> lowers;
    };
    const std::string snapshots = "/var/lib/containerd/snapshots";
    const Row rows[] = {
        {"one", "rw,lowerdir=/a/fs,upperdir=/u/3/fs,workdir=/u/3/work", {"/a/fs"}},
        {"some", "ro,lowerdir=/a/fs:/b/fs:/c/fs", {"/a/fs", "/b/fs", "/c/fs"}},
        {"relative to the snapshots",
         "rw,lowerdir=12/fs:11/fs,upperdir=" + snapshots + "/15/fs,workdir=" + snapshots + "/15/w",
         {snapshots + "/12/fs", snapshots + "/11/fs"}},
        {"relative, as dockerd has it",
         "rw,lowerdir=l/AB:l/CD,upperdir=l/EF/diff,workdir=l/EF/work",
         {"/docker/overlay2/l/AB", "/docker/overlay2/l/CD"}},
        {"relative to something unknown", "ro,lowerdir=12/fs:11/fs", {"12/fs", "11/fs"}},
        {"spaces, colons, commas and backslashes",
         "rw,lowerdir=/a\\040b:/c\\134:d:/e\\054f:/g\\134\\134h,upperdir=/u/1/fs",
         {"/a b", "/c:d", "/e,f", "/g\\h"}},
        {"one option for each",
         "rw,lowerdir+=/a:b/fs,lowerdir+=/c/fs,datadir+=/d/fs,upperdir=/u/3/fs",
         {"/a:b/fs", "/c/fs", "/d/fs"}},
        {"with data only", "rw,lowerdir=/a/fs::/d/fs", {"/a/fs", "/d/fs"}},
        {"none", "rw,index=off", {}},
        {"empty", "rw,lowerdir=,upperdir=/u/1/fs", {}},
        {"without a value", "rw,lowerdir", {}},
        {"an escape that is cut off", "rw,lowerdir=/a\\13", {"/a13"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const std::vector<OverlayMount> overlays = parse_overlays(
            "22 1 259:1 / / rw,noatime shared:1 - xfs /dev/nvme0n1p1 rw,lowerdir=/no\n"
            "50 22 0:45 / /docker/overlay2/X\\040Y/merged rw shared:3 - overlay overlay " +
            row.options + "\n");
        REQUIRE(overlays.size() == 1);
        CHECK(overlays[0].mount_point == "/docker/overlay2/X Y/merged");
        CHECK(overlays[0].lowers == row.lowers);
    }
}

TEST_CASE("an overlay without options") {
    const std::vector<OverlayMount> overlays =
        parse_overlays("50 22 0:45 / /m rw - overlay overlay\n");
    REQUIRE(overlays.size() == 1);
    CHECK(overlays[0].lowers.empty());
}

}  // namespace prebake::hydrate::mountinfo_test
