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
    ForegroundWatch::Places places() const {
        return {.sys = directory_.path(), .states = {directory_.path()}};
    }
    std::filesystem::path tasks() const { return directory_ / "io.containerd.runtime.v2.task"; }
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

using Created = std::vector<std::filesystem::path>;

TEST_CASE("which containers were created") {
    const Machine machine;
    std::filesystem::create_directories(machine.tasks() / "k8s.io" / "old");
    ForegroundWatch watch({}, machine.places());
    watch.sample(kStart, 0);
    CHECK(watch.take_created().empty());
    std::filesystem::create_directory(machine.tasks() / "k8s.io" / "one");
    watch.sample(kStart, 0);
    CHECK(watch.take_created() == Created{machine.tasks() / "k8s.io" / "one"});
    CHECK(watch.take_created().empty());
    // Before its namespace is watched.
    std::filesystem::create_directories(machine.tasks() / "moby" / "two");
    watch.sample(kStart, 0);
    CHECK(watch.take_created() == Created{machine.tasks() / "moby" / "two"});
    // All of it goes away and comes again, as when containerd's directory is cleaned.
    std::filesystem::remove_all(machine.tasks());
    watch.sample(kStart, 0);
    CHECK(watch.take_created().empty());
    std::filesystem::create_directories(machine.tasks() / "k8s.io" / "three");
    watch.sample(kStart, 0);
    CHECK(watch.take_created() == Created{machine.tasks() / "k8s.io" / "three"});
}

TEST_CASE("a state directory that becomes known later") {
    const Machine machine;
    const TemporaryDirectory other;
    const std::filesystem::path tasks = other / "io.containerd.runtime.v2.task";
    std::filesystem::create_directories(tasks / "k8s.io" / "old");
    std::filesystem::last_write_time(
        tasks / "k8s.io" / "old",
        std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
    ForegroundWatch watch({}, machine.places());
    std::filesystem::create_directory(tasks / "k8s.io" / "one");
    watch.add_state(other.path());
    watch.add_state(other.path());
    CHECK(watch.sample(kStart, 0).is_starting);
    CHECK(watch.take_created() == Created{tasks / "k8s.io" / "one"});
    CHECK_FALSE(watch.sample(kStart + 3s, 0).is_starting);
}

TEST_CASE("the configured state directory") {
    const TemporaryDirectory directory;
    std::ofstream(directory / "config.toml") << "state = \"/run/other\"\n";
    CHECK(configured_containerd_state(directory / "config.toml").get() == "/run/other");
    CHECK(configured_containerd_state(directory / "none.toml").get().empty());
}

TEST_CASE("a machine that has none of it is quiet") {
    const TemporaryDirectory empty;
    ForegroundWatch watch({makedev(259, 0)}, {.sys = empty.path(), .states = {empty / "later"}});
    CHECK(watch.sample(kStart, 0).stalled == 0);
    CHECK_FALSE(watch.sample(kStart + 1s, 0).is_starting);
    // containerd starts later.
    const std::filesystem::path tasks = empty / "later" / "io.containerd.runtime.v2.task";
    std::filesystem::create_directories(tasks);
    CHECK_FALSE(watch.sample(kStart + 2s, 0).is_starting);
    std::filesystem::create_directory(tasks / "k8s.io");
    CHECK(watch.sample(kStart + 3s, 0).is_starting);
}

}  // namespace yielding_test

}  // namespace prebake::hydrate
