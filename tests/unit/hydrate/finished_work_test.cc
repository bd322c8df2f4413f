#include "agent/hydrate/finished_work.h"

#include <doctest/doctest.h>

#include "agent/hydrate/documents.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace finished_work_test {

VolumeToRead volume() {
    VolumeToRead made;
    made.uuid = "uuid";
    made.bytes = 1000 * kChunkBytes;
    for (const std::uint64_t count : {10U, 20U}) {
        PartToRead part;
        part.chunks.add({.first = made.parts.size() * 100, .count = count});
        made.parts.push_back(part);
    }
    return made;
}

v1::Hydration document() {
    v1::Hydration made;
    made.set_plan("sha256:one");
    v1::HydratedVolume& before = *made.add_volumes();
    before.set_uuid("uuid");
    before.set_serial("vol01");
    before.add_done_chunks(10);
    before.add_done_chunks(5);
    ChunkSet failed;
    failed.add({.first = 3, .count = 2});
    set_failed(failed, before);
    return made;
}

TEST_CASE("what was read of a volume is found again") {
    const FinishedWork work = finished_work(document(), "sha256:one", volume(), "vol01");
    CHECK(work.done == std::vector<std::uint64_t>{10, 5});
    CHECK(work.failed.runs() == std::vector<ChunkRun>{{3, 2}});
    CHECK_FALSE(work.is_finished);
    v1::Hydration whole = document();
    whole.mutable_volumes(0)->set_finished(true);
    CHECK(finished_work(whole, "sha256:one", volume(), "vol01").is_finished);
}

TEST_CASE("it counts for the same plan and the same disk only") {
    struct Row {
        const char* name;
        void (*change)(v1::Hydration&);
    };
    const Row rows[] = {
        {"another plan", [](v1::Hydration& it) { it.set_plan("sha256:two"); }},
        {"another disk, of the same snapshot",
         [](v1::Hydration& it) { it.mutable_volumes(0)->set_serial("vol02"); }},
        {"another file system", [](v1::Hydration& it) { it.mutable_volumes(0)->set_uuid("2"); }},
        {"more parts", [](v1::Hydration& it) { it.mutable_volumes(0)->add_done_chunks(1); }},
        {"more chunks than the part has",
         [](v1::Hydration& it) { it.mutable_volumes(0)->set_done_chunks(0, 11); }},
        {"chunks behind the end",
         [](v1::Hydration& it) { it.mutable_volumes(0)->mutable_failed_runs()->Set(0, 5000); }},
        {"half a run", [](v1::Hydration& it) { it.mutable_volumes(0)->add_failed_runs(1); }},
        {"more failed than it says",
         [](v1::Hydration& it) { it.mutable_volumes(0)->set_failed_chunks(3); }},
        {"nothing", [](v1::Hydration& it) { it.Clear(); }},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        v1::Hydration changed = document();
        row.change(changed);
        const FinishedWork work = finished_work(changed, "sha256:one", volume(), "vol01");
        CHECK(work.done == std::vector<std::uint64_t>{0, 0});
        CHECK(work.failed.empty());
        CHECK_FALSE(work.is_finished);
    }
}

TEST_CASE("documents name at most so many runs of failed chunks") {
    ChunkSet failed;
    for (std::uint64_t i = 0; i < 100; ++i) failed.add({.first = 2 * i, .count = 1});
    v1::HydratedVolume document;
    set_failed(failed, document);
    CHECK(document.failed_chunks() == 100);
    CHECK(document.failed_runs_size() == 2 * kMostFailedRuns);
}

TEST_CASE("the last document is written, and a failure is known") {
    const TemporaryDirectory directory;
    {
        DocumentWriter writer(directory / "hydration.json");
        for (int i = 0; i <= 50; ++i) {
            v1::Hydration next;
            next.set_yields(static_cast<std::uint64_t>(i));
            writer.put(next);
        }
        CHECK(writer.finish().empty());
    }
    CHECK(read_hydration(directory / "hydration.json").yields() == 50);
    std::filesystem::create_directories(directory / "taken.json" / "full");
    DocumentWriter writer(directory / "taken.json");
    writer.put({});
    CHECK_FALSE(writer.finish().empty());
}

}  // namespace finished_work_test

}  // namespace prebake::hydrate
