#include "agent/hydrate/yielding.h"

#include <doctest/doctest.h>
#include <sys/sysmacros.h>

#include <fstream>

#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace yielding_test {

using namespace std::chrono_literals;

TEST_CASE("how far it steps aside") {
    struct Row {
        const char* name;
        Foreground foreground;
        unsigned awaited;     ///< of 40, for METADATA and TRACED
        unsigned background;  ///< for the other ranks
    };
    constexpr double kMany = 20e6;
    const Row rows[] = {
        {"quiet", {}, 40, 40},
        {"a few reads", {.bytes_per_second = 1e6}, 40, 40},
        {"reads", {.bytes_per_second = kMany}, 30, 20},
        {"a container starts", {.is_starting = true}, 40, 10},
        {"a container starts and reads", {.bytes_per_second = kMany, .is_starting = true}, 40, 10},
        {"some wait", {.stalled = 0.2}, 40, 10},
        {"many wait", {.bytes_per_second = kMany, .stalled = 0.9}, 30, 5},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        for (const auto rank : {v1::METADATA, v1::TRACED}) {
            CHECK(yielded_depth(40, rank, row.foreground) == row.awaited);
        }
        for (const auto rank : {v1::IMAGES, v1::BOOT}) {
            CHECK(yielded_depth(40, rank, row.foreground) == row.background);
            CHECK(yielded_depth(1, rank, row.foreground) == 1);
        }
    }
}

TEST_CASE("the kernel's files") {
    CHECK(read_bytes_in("   101 2 2048 33 0 0 0 0 0 12 33 0 0 0 0 0 0\n") == 2048 * 512);
    CHECK_FALSE(read_bytes_in(""));
    CHECK_FALSE(read_bytes_in("one two three"));
    CHECK(stalled_in("some avg10=0.12 avg60=0.00 avg300=0.00 total=314159\nfull avg10=0.00 "
                     "avg60=0.00 avg300=0.00 total=1\n") == 314159);
    CHECK_FALSE(stalled_in(""));
    CHECK_FALSE(stalled_in("full avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"));
}

class Machine {
  public:
    Machine() {
        std::filesystem::create_directories(stat().parent_path());
        std::filesystem::create_directories(slice());
        std::filesystem::create_directories(tasks());
    }
    ForegroundWatch::Places places() const { return {.sys = directory_.path(), .tasks = tasks()}; }
    std::filesystem::path tasks() const { return directory_ / "tasks"; }
    void read(std::uint64_t bytes) const { std::ofstream(stat()) << "1 0 " << bytes / 512; }
    void stall(std::uint64_t microseconds) const {
        std::ofstream(slice() / "io.pressure")
            << "some avg10=0.00 avg60=0.00 avg300=0.00 total=" << microseconds;
    }

  private:
    std::filesystem::path stat() const { return directory_ / "dev" / "block" / "259:0" / "stat"; }
    std::filesystem::path slice() const { return directory_ / "fs" / "cgroup" / "kubepods.slice"; }
    TemporaryDirectory directory_;
};

const ForegroundWatch::Time kStart = ForegroundWatch::Time{} + 1h;

TEST_CASE("what others read is what the disk has read less our own") {
    const Machine machine;
    machine.read(1 << 20);
    machine.stall(5'000'000);
    ForegroundWatch watch({makedev(259, 0)}, machine.places());
    CHECK(watch.sample(kStart, 0).bytes_per_second == 0);
    machine.read(11 << 20);
    machine.stall(5'250'000);
    const Foreground foreground = watch.sample(kStart + 500ms, 4 << 20);
    CHECK(foreground.bytes_per_second == doctest::Approx(2 * (6 << 20)));
    CHECK(foreground.stalled == doctest::Approx(0.5));
    CHECK(watch.sample(kStart + 1s, 8 << 20).bytes_per_second == 0);
}

TEST_CASE("containers that are created, also in new namespaces") {
    const Machine machine;
    std::filesystem::create_directory(machine.tasks() / "k8s.io");
    ForegroundWatch watch({}, machine.places());
    CHECK_FALSE(watch.sample(kStart, 0).is_starting);
    std::filesystem::create_directory(machine.tasks() / "k8s.io" / "one");
    CHECK(watch.sample(kStart + 1s, 0).is_starting);
    CHECK(watch.sample(kStart + 2s, 0).is_starting);
    CHECK_FALSE(watch.sample(kStart + 4s, 0).is_starting);
    std::filesystem::create_directory(machine.tasks() / "moby");
    CHECK(watch.sample(kStart + 10s, 0).is_starting);
    CHECK_FALSE(watch.sample(kStart + 20s, 0).is_starting);
    std::filesystem::create_directory(machine.tasks() / "moby" / "two");
    CHECK(watch.sample(kStart + 30s, 0).is_starting);
}

TEST_CASE("a machine that has none of it is quiet") {
    const TemporaryDirectory empty;
    ForegroundWatch watch({makedev(259, 0)},
                          {.sys = empty.path(), .tasks = empty / "later" / "tasks"});
    CHECK(watch.sample(kStart, 0).stalled == 0);
    CHECK_FALSE(watch.sample(kStart + 1s, 0).is_starting);
    // containerd starts later.
    std::filesystem::create_directories(empty / "later" / "tasks");
    CHECK_FALSE(watch.sample(kStart + 2s, 0).is_starting);
    std::filesystem::create_directory(empty / "later" / "tasks" / "k8s.io");
    CHECK(watch.sample(kStart + 3s, 0).is_starting);
}

}  // namespace yielding_test

}  // namespace prebake::hydrate
