#include "agent/hydrate/chunk_set.h"

#include <doctest/doctest.h>

#include <limits>
#include <random>
#include <set>

#include "agent/base/error.h"

namespace prebake::hydrate {

namespace chunk_set_test {

using Runs = std::vector<ChunkRun>;

TEST_CASE("bytes count for each chunk that they touch") {
    ChunkSet chunks;
    chunks.add_bytes(0, 1);
    CHECK(chunks.runs() == Runs{{0, 1}});
    chunks.add_bytes(kChunkBytes * 5 - 1, 2);
    CHECK(chunks.runs() == Runs{{0, 1}, {4, 2}});
    chunks.add_bytes(kChunkBytes, 0);
    CHECK(chunks.count() == 3);
    CHECK(chunks.contains(5));
    CHECK_FALSE(chunks.contains(1));
    CHECK_FALSE(chunks.contains(6));
}

TEST_CASE("chunks after the end of a device are removed") {
    CHECK(chunks_of_device(0) == 0);
    CHECK(chunks_of_device(kChunkBytes) == 1);
    CHECK(chunks_of_device(kChunkBytes + 1) == 2);
    CHECK(chunks_of_device(std::numeric_limits<std::uint64_t>::max()) ==
          (1ULL << 63U) / kChunkBytes * 2);
    ChunkSet chunks;
    chunks.add({.first = 90, .count = 20});
    chunks.add({.first = 2, .count = 3});
    chunks.add({.first = 200, .count = 1});
    chunks.limit_to(100);
    CHECK(chunks.runs() == Runs{{2, 3}, {90, 10}});
    chunks.limit_to(4);
    CHECK(chunks.runs() == Runs{{2, 2}});
    chunks.limit_to(0);
    CHECK(chunks.empty());
}

TEST_CASE("sets of runs are as sets of chunks") {
    std::mt19937 random(7);
    const auto below = [&](std::uint64_t end) {
        return std::uniform_int_distribution<std::uint64_t>(0, end - 1)(random);
    };
    for (int round = 0; round < 300; ++round) {
        CAPTURE(round);
        std::set<std::uint64_t> expected[2];
        ChunkSet chunks[2];
        for (int side = 0; side < 2; ++side) {
            for (std::uint64_t i = below(20); i > 0; --i) {
                const ChunkRun run{below(100), below(8)};
                chunks[side].add(run);
                for (std::uint64_t j = 0; j < run.count; ++j) expected[side].insert(run.first + j);
            }
        }
        if (round % 2 == 0) {
            chunks[0].add(chunks[1]);
            expected[0].merge(expected[1]);
        } else {
            chunks[0].subtract(chunks[1]);
            for (const std::uint64_t chunk : expected[1]) expected[0].erase(chunk);
        }
        std::set<std::uint64_t> found;
        std::uint64_t end = 0;
        for (const ChunkRun& run : chunks[0].runs()) {
            CHECK(run.count > 0);
            CHECK((found.empty() || run.first > end));
            end = run.first + run.count;
            for (std::uint64_t j = 0; j < run.count; ++j) found.insert(run.first + j);
        }
        CHECK(found == expected[0]);
        CHECK(chunks[0].count() == expected[0].size());
        Numbers written;
        write_runs(chunks[0], written);
        CHECK(read_runs(written, end).runs() == chunks[0].runs());
    }
}

TEST_CASE("runs that no device can have are corrupt") {
    constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
    for (const std::vector<std::uint64_t>& row : {std::vector<std::uint64_t>{1},
                                                  {0, 0},
                                                  {0, 11},
                                                  {10, 1},
                                                  {5, kMax},
                                                  {kMax, 1},
                                                  {0, 5, kMax - 4, 5},
                                                  {0, 5, 5, 1}}) {
        CAPTURE(row.size());
        CHECK_THROWS_AS(read_runs({row.begin(), row.end()}, 10), Error);
    }
    const std::vector<std::uint64_t> whole{0, 10};
    CHECK(read_runs({whole.begin(), whole.end()}, 10).count() == 10);
}

}  // namespace chunk_set_test
}  // namespace prebake::hydrate
