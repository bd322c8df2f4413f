#include "agent/hydrate/block_trace.h"

#include <doctest/doctest.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace block_trace_test {

using Runs = std::vector<ChunkRun>;

TEST_CASE("reads are found in lines of the kernel, old and new") {
    struct Row {
        std::string line;
        std::optional<BlockRead> expected;
    };
    const BlockRead expected{.disk = ::makedev(259, 3), .first_sector = 2048, .sectors = 256};
    const std::string head = "   kworker/0:1H-17      [000] .....   12.345678: block_rq_issue: ";
    const std::vector<Row> rows{
        {head + "259,3 R 131072 () 2048 + 256 none,0,0 [kworker/0:1H]", expected},
        {head + "259,3 R 131072 () 2048 + 256 [dd]", expected},
        {head + "259,3 RA 131072 () 2048 + 256 [dd]", expected},
        {head + "259,3 RSM 131072 () 2048 + 256 [dd]", expected},
        {head + "259,3 R 131072 (28 00 00 00 08) 2048 + 256 [a ) b]", expected},
        {head + "259,3 WS 131072 () 2048 + 256 [dd]", std::nullopt},
        {head + "259,3 FF 0 () 0 + 0 [dd]", std::nullopt},
        {head + "259,3 D 131072 () 2048 + 256 [dd]", std::nullopt},
        {head + "259,3 R 0 () 2048 + 0 [dd]", std::nullopt},
        {head + "259,3 R 131072 () 2048 +", std::nullopt},
        {head + "259 R", std::nullopt},
        {head, std::nullopt},
        {"dd-1 [000] 1.0: block_rq_complete: 259,3 R () 2048 + 256 [0]", std::nullopt},
        {"CPU:1 [LOST 3 EVENTS]", std::nullopt},
        {"", std::nullopt},
    };
    for (const Row& row : rows) {
        CAPTURE(row.line);
        CHECK(parse_block_read(row.line) == row.expected);
    }
    CHECK(lost_events_in("CPU:1 [LOST 31 EVENTS]") == 31);
    CHECK(lost_events_in("CPU:1 [LOST EVENTS]") == 0);
    CHECK(lost_events_in(head + " [LOST 3 EVENTS]") == 0);
}

TEST_CASE("sectors of a disk are chunks of its partition") {
    const dev_t disk = ::makedev(259, 0);
    constexpr std::uint64_t kChunkSectors = kChunkBytes / 512;
    SectorsRead read;
    read[disk].add(ChunkRun{0, 8});                               // the partition table
    read[disk].add(ChunkRun{2048, 1});                            // its first sector
    read[disk].add(ChunkRun{2048 + kChunkSectors * 5 - 1, 2});    // two chunks
    read[disk].add(ChunkRun{2048 + kChunkSectors * 10 - 8, 64});  // beyond its end
    const DiskArea area{.disk = disk, .first_sector = 2048, .sectors = kChunkSectors * 10};
    CHECK(chunks_in(read, area).runs() == Runs{{0, 1}, {4, 2}, {9, 1}});
    CHECK(chunks_in(read, {.disk = ::makedev(8, 0), .first_sector = 0, .sectors = 9}).empty());
}

TEST_CASE("a partition is a part of its disk") {
    const TemporaryDirectory directory;
    const auto write = [&](const std::string& name, const std::string& text) {
        std::filesystem::create_directories((directory / name).parent_path());
        std::ofstream(directory / name) << text << '\n';
    };
    write("devices/nvme/dev", "259:0");
    write("devices/nvme/size", "1000000");
    write("devices/nvme/part/size", "900000");
    write("devices/nvme/part/start", "2048");
    write("devices/nvme/part/partition", "1");
    write("devices/dm-0/size", "77");
    write("devices/dm-0/dm/name", "root");
    std::filesystem::create_directories(directory / "dev/block");
    for (const auto& [number, place] : std::vector<std::pair<std::string, std::string>>{
             {"259:0", "nvme"}, {"259:1", "nvme/part"}, {"253:0", "dm-0"}}) {
        std::filesystem::create_directory_symlink(directory / ("devices/" + place),
                                                  directory / ("dev/block/" + number));
    }
    const auto part = area_of(::makedev(259, 1), directory.path());
    REQUIRE(part);
    CHECK(part->disk == ::makedev(259, 0));
    CHECK(part->first_sector == 2048);
    CHECK(part->sectors == 900000);
    const auto whole = area_of(::makedev(259, 0), directory.path());
    REQUIRE(whole);
    CHECK(whole->first_sector == 0);
    CHECK_FALSE(area_of(::makedev(253, 0), directory.path()));
    CHECK_FALSE(area_of(::makedev(0, 25), directory.path()));
}

}  // namespace block_trace_test

}  // namespace prebake::hydrate
