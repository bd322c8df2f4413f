#include "agent/hydrate/planned_volumes.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <string>

#include "agent/base/file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace planned_volumes_test {

v1::HydrationPlan plan_with(const std::string& uuid, const std::filesystem::path& sentinel) {
    v1::HydrationPlan plan;
    v1::PlannedVolume& volume = *plan.add_volumes();
    volume.set_uuid(uuid);
    volume.set_mount_point("/");
    volume.set_chunk_bytes(kChunkBytes);
    volume.add_sentinels()->set_path(sentinel);
    return plan;
}

TEST_CASE("files of a volume that is not here are read where they are now, if they are anywhere") {
    const TemporaryDirectory directory;
    write_file_durably(directory / "sentinel", "x", 0644);
    struct stat found {};
    REQUIRE(::lstat((directory / "sentinel").c_str(), &found) == 0);
    const PlannedVolumes copied =
        find_planned_volumes(plan_with("none-such", directory / "sentinel"));
    CHECK(copied.found.empty());
    REQUIRE(copied.moved.size() == 1);
    CHECK(copied.moved[0].number == found.st_dev);
    CHECK(copied.moved[0].mount_point == "/");
    CHECK_FALSE(copied.moved[0].why.empty());

    const PlannedVolumes absent = find_planned_volumes(plan_with("none-such", directory / "gone"));
    REQUIRE(absent.moved.size() == 1);
    CHECK(absent.moved[0].mount_point.empty());
}

}  // namespace planned_volumes_test
}  // namespace prebake::hydrate
