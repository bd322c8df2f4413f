#include "agent/hydrate/hydration_report.h"

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

namespace prebake::hydrate {

namespace hydration_report_test {

using namespace std::chrono_literals;

PartWork part(std::size_t volume, std::size_t index, v1::HydrationRank rank, ChunkRun run) {
    PartWork made{.volume = volume, .index = index, .rank = rank, .chunks = {}};
    made.chunks.add(run);
    return made;
}

void finish(WorkList& work, std::uint64_t count) {
    for (; count > 0; --count) work.done(*work.next(WorkList::Time{} + 1h));
}

TEST_CASE("ranks are added up over volumes, and each ends once") {
    WorkList work({part(0, 0, v1::METADATA, {0, 2}), part(1, 0, v1::METADATA, {0, 1}),
                   part(0, 1, v1::IMAGES, {10, 4})});
    v1::Hydration document;
    CHECK(update_ranks(work, 0.5, document).empty());
    CHECK(document.ranks_size() == 2);
    CHECK(document.ranks(0).total_bytes() == 3 * kChunkBytes);
    CHECK_FALSE(is_traced_done(work));
    finish(work, 3);
    CHECK(update_ranks(work, 1.5, document) == std::vector{v1::METADATA});
    CHECK(is_traced_done(work));
    CHECK(document.ranks(0).bytes() == 3 * kChunkBytes);
    CHECK(document.ranks(0).seconds() == 1.5);
    finish(work, 4);
    CHECK(update_ranks(work, 3.5, document) == std::vector{v1::IMAGES});
    CHECK(update_ranks(work, 9, document).empty());
    CHECK(document.ranks(1).seconds() == 3.5);
    CHECK(rank_summary(document, v1::METADATA) == "metadata: 1.5 MiB in 1.5 s, 1.0 MiB/s");
    CHECK(rank_summary(document, v1::IMAGES) == "images: 2.0 MiB in 2.0 s, 1.0 MiB/s");
}

TEST_CASE("a volume's part of the document") {
    std::vector<VolumeReading> volumes(2);
    for (VolumeReading& volume : volumes) volume.done = {0, 0};
    volumes[0].decision.is_read = true;
    volumes[1].is_finished_before = true;
    volumes[1].done = {7, 8};
    WorkList work({part(0, 0, v1::METADATA, {0, 3}), part(0, 1, v1::IMAGES, {10, 2})});
    finish(work, 2);
    work.give_up(*work.next(WorkList::Time{} + 1h));
    finish(work, 1);
    v1::HydratedVolume read;
    v1::HydratedVolume before;
    update_volumes(work, volumes, {&read, &before});
    CHECK(read.done_chunks(0) == 3);
    CHECK(read.done_chunks(1) == 1);
    CHECK(read.failed_chunks() == 1);
    CHECK_FALSE(read.finished());
    CHECK(before.done_chunks(1) == 8);
    CHECK(before.finished());
    finish(work, 1);
    update_volumes(work, volumes, {&read, &before});
    CHECK(read.finished());
}

TEST_CASE("the summary") {
    v1::Hydration document;
    CHECK(summary_of(document) == "all 0 B in 0.0 s");
    v1::HydratedVolume& volume = *document.add_volumes();
    volume.set_cold_seconds(0.035);
    volume.set_depth_1_bytes_per_second(6 << 20);
    volume.set_peak_bytes_per_second(140 << 20);
    volume.set_peak_depth(32);
    struct Rank {
        v1::HydrationRank rank;
        std::uint64_t mebibytes;
        double seconds;
    };
    for (const Rank& rank :
         {Rank{v1::METADATA, 10, 0.2}, Rank{v1::TRACED, 300, 2.2}, Rank{v1::IMAGES, 3000, 59.5}}) {
        v1::HydratedRank& entry = *document.add_ranks();
        entry.set_rank(rank.rank);
        entry.set_bytes(rank.mebibytes << 20);
        entry.set_seconds(rank.seconds);
    }
    CHECK(summary_of(document) ==
          "cold: 6.0 MiB/s at depth 1, 140.0 MiB/s at 32; hot 310.0 MiB in 2.2 s; all 3.2 GiB in "
          "59.5 s");
}

}  // namespace hydration_report_test

}  // namespace prebake::hydrate
