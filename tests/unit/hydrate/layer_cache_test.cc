#include "agent/hydrate/layer_cache.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/hydrate/traced_file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace layer_cache_test {

using Runs = std::vector<ChunkRun>;

void read_page(const std::filesystem::path& path, off_t offset) {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(file);
    REQUIRE(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM) == 0);  // no read-ahead
    char byte = 0;
    REQUIRE(::pread(file.get(), &byte, 1, offset) == 1);
}

TEST_CASE("what is read after the cache was dropped is seen, with the time of the first look") {
    const TemporaryDirectory directory;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::string contents(10 * page, 'x');
    for (const char* name : {"low/early", "low/late", "low/never", "high/bin/in use"}) {
        write_file_durably(directory / name, contents, 0644);
    }
    std::filesystem::create_hard_link(directory / "low/early", directory / "low/same");
    write_file_durably(directory / "low/empty", "", 0644);
    write_file_durably(directory / "high/not \xff text", contents, 0644);
    std::filesystem::create_symlink("/etc/passwd", directory / "high/link");

    const FileDescriptor used(
        ::open((directory / "high/bin/in use").c_str(), O_RDONLY | O_CLOEXEC));
    drop_from_cache(used.get());  // what was written is in large pieces
    void* const mapped = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, used.get(), 0);
    REQUIRE(mapped != MAP_FAILED);
    REQUIRE(::madvise(mapped, page, MADV_RANDOM) == 0);
    CHECK(*static_cast<const volatile char*>(mapped) == 'x');

    const std::vector<LayerDirectory> layers{
        {"low", directory / "low"}, {"high", directory / "high"}, {"low", directory / "low"}};
    LayerCache cache(layers, residency_method(), {});
    cache.drop();
    CHECK(cache.stayed_bytes() == page);
    cache.look(1);
    CHECK(cache.result().layers().empty());
    read_page(directory / "low/same", 0);
    cache.look(2);
    read_page(directory / "low/late", static_cast<off_t>(3 * page));
    read_page(directory / "low/early", static_cast<off_t>(9 * page));
    read_page(directory / "high/not \xff text", 0);
    read_page(directory / "high/bin/in use", static_cast<off_t>(5 * page));
    cache.look(4);
    REQUIRE(::munmap(mapped, page) == 0);

    const v1::ReadTrace trace = cache.result();
    CHECK(trace.omitted_files() == 1);
    REQUIRE(trace.layers_size() == 2);
    const v1::TracedLayer& low = trace.layers(0);
    REQUIRE(low.files_size() == 2);
    CHECK(low.files(0).path() == "early");
    CHECK(low.files(0).seconds() == 2);
    CHECK(ranges_of(low.files(0)).runs() == Runs{{0, page}, {9 * page, page}});
    CHECK(low.files(1).path() == "late");
    CHECK(low.files(1).seconds() == 4);
    REQUIRE(trace.layers(1).files_size() == 1);
    CHECK(trace.layers(1).files(0).path() == "bin/in use");
    CHECK(ranges_of(trace.layers(1).files(0)).runs() == Runs{{5 * page, page}});
    CHECK(cache.devices().size() == 1);
}

TEST_CASE("a layer that is not there is an error, and a stop ends the work") {
    const TemporaryDirectory directory;
    CHECK_THROWS_AS(LayerCache({{"l", directory / "missing"}}, residency_method(), {}), Error);
    write_file_durably(directory / "l/a", "x", 0644);
    std::stop_source stop;
    LayerCache cache({{"l", directory / "l"}}, residency_method(), stop.get_token());
    stop.request_stop();
    CHECK_THROWS_AS(cache.look(1), Error);
}

}  // namespace layer_cache_test

}  // namespace prebake::hydrate
