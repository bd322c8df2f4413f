#include "agent/hydrate/residency.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "agent/base/file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace residency_test {

using Runs = std::vector<ChunkRun>;

/// A file system whose files leave the page cache: not one in memory.
FileDescriptor file_of(const TemporaryDirectory& directory, std::size_t bytes) {
    const auto path = directory / "file";
    write_file_durably(path, std::string(bytes, 'x'), 0644);
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(file);
    REQUIRE(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM) == 0);  // no read-ahead
    drop_from_cache(file.get());
    return file;
}

void read_at(int fd, off_t offset, std::size_t bytes) {
    std::string buffer(bytes, '\0');
    REQUIRE(::pread(fd, buffer.data(), bytes, offset) == static_cast<ssize_t>(bytes));
}

TEST_CASE("both ways to ask see what was read and what was mapped") {
    const TemporaryDirectory directory;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t size = 700 * page + 10;
    const FileDescriptor file = file_of(directory, size);
    REQUIRE(residency_method() == ResidencyMethod::cachestat);
    for (const auto method : {ResidencyMethod::cachestat, ResidencyMethod::mincore}) {
        CHECK(cached_ranges(file.get(), method).runs() == Runs{});
    }

    read_at(file.get(), 0, 1);
    read_at(file.get(), static_cast<off_t>(100 * page), 3 * page);
    read_at(file.get(), static_cast<off_t>(700 * page), 10);  // the last page is not a whole one
    void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
    REQUIRE(mapped != MAP_FAILED);
    REQUIRE(::madvise(mapped, size, MADV_RANDOM) == 0);
    CHECK(static_cast<const volatile char*>(mapped)[300 * page + 7] == 'x');
    REQUIRE(::munmap(mapped, size) == 0);

    const Runs expected{{0, page}, {100 * page, 3 * page}, {300 * page, page}, {700 * page, page}};
    for (const auto method : {ResidencyMethod::cachestat, ResidencyMethod::mincore}) {
        CHECK(cached_ranges(file.get(), method).runs() == expected);
    }
    drop_from_cache(file.get());
    CHECK(cached_ranges(file.get(), ResidencyMethod::cachestat).empty());
}

TEST_CASE("an empty file has no cached ranges") {
    const TemporaryDirectory directory;
    const FileDescriptor file = file_of(directory, 0);
    for (const auto method : {ResidencyMethod::cachestat, ResidencyMethod::mincore}) {
        CHECK(cached_ranges(file.get(), method).empty());
    }
}

TEST_CASE("few questions find what is cached") {
    constexpr std::uint64_t kPage = 4096;
    struct Row {
        const char* name;
        std::uint64_t size;
        Runs cached;  // in pages
        unsigned most_questions;
    };
    const Row rows[] = {
        {"nothing of a large file", 1ULL << 40, {}, 1},
        {"all of it", 1ULL << 40, {{0, 1ULL << 28}}, 1},
        {"its first half", 1ULL << 40, {{0, 1ULL << 27}}, 3},
        {"one page of it", 1ULL << 40, {{12345, 1}}, 57},
        {"two pages side by side in two halves", 16 * kPage, {{7, 2}}, 15},
        {"the last, incomplete page", 15 * kPage + 1, {{15, 1}}, 9},
        {"an odd number of pages", 7 * kPage, {{0, 1}, {2, 3}}, 13},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        unsigned questions = 0;
        const auto count = [&](std::uint64_t offset, std::uint64_t length) {
            ++questions;
            std::uint64_t pages = 0;
            for (const ChunkRun& run : row.cached) {
                const std::uint64_t begin = std::max(offset / kPage, run.first);
                const std::uint64_t end =
                    std::min((offset + length) / kPage, run.first + run.count);
                if (begin < end) pages += end - begin;
            }
            return pages;
        };
        Runs expected;
        for (const ChunkRun& run : row.cached) {
            expected.push_back({run.first * kPage, run.count * kPage});
        }
        CHECK(ranges_by_halves(row.size, kPage, count).runs() == expected);
        CHECK(questions <= row.most_questions);
    }
}

TEST_CASE("small gaps are filled until few enough ranges are left") {
    FileRanges ranges;
    for (const ChunkRun run : Runs{{0, 10}, {12, 3}, {100, 5}, {1000, 1}}) ranges.add(run);
    CHECK(without_small_gaps(ranges, 0).runs() == ranges.runs());
    CHECK(without_small_gaps(ranges, 2).runs() == Runs{{0, 15}, {100, 5}, {1000, 1}});
    CHECK(with_at_most(ranges, 4).runs() == ranges.runs());
    CHECK(with_at_most(ranges, 3).runs() == Runs{{0, 15}, {100, 5}, {1000, 1}});
    CHECK(with_at_most(ranges, 2).runs() == Runs{{0, 105}, {1000, 1}});
    CHECK(with_at_most(ranges, 1).runs() == Runs{{0, 1001}});
}

}  // namespace residency_test

}  // namespace prebake::hydrate
