#include "agent/hydrate/depth.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <queue>
#include <random>
#include <vector>

namespace prebake::hydrate {

namespace depth_test {

using Time = DepthControl::Time;

Time at(double seconds) {
    return Time{} + std::chrono::seconds(1) +
           std::chrono::duration_cast<Time::duration>(std::chrono::duration<double>(seconds));
}

/// A disk that loads chunks side by side, each after a latency, and sends them one after the other.
struct SimulatedDisk {
    double latency = 0;     ///< seconds
    double per_second = 0;  ///< chunks
    double spread = 0;      ///< of the latency, as the deviation of its logarithm
};

struct Run {
    double per_second = 0;  ///< in the last two thirds
    double mean_depth = 0;
    double worst = 0;  ///< latency of 99 of 100 reads in the last two thirds
};

Run run_on(const SimulatedDisk& disk, DepthControl& control, int chunks) {
    struct Event {
        double time;
        double asked;
        bool is_loaded;
        bool operator<(const Event& other) const { return time > other.time; }
    };
    std::mt19937 random(3);
    std::lognormal_distribution<double> factor(0, std::max(disk.spread, 1e-9));
    std::priority_queue<Event> events;
    unsigned in_flight = 0;
    double link = 0;
    int done = 0;
    double depths = 0;
    double began = 0;
    std::vector<double> latencies;
    double now = 0;
    while (done < chunks) {
        while (in_flight < control.depth()) {
            events.push({now + disk.latency * factor(random), now, false});
            ++in_flight;
        }
        const Event event = events.top();
        events.pop();
        now = event.time;
        if (!event.is_loaded) {
            link = std::max(link, now) + 1 / disk.per_second;
            events.push({link, event.asked, true});
            continue;
        }
        --in_flight;
        ++done;
        control.on_done(at(now), std::chrono::duration<double>(now - event.asked));
        if (done == chunks / 3) began = now;
        if (done <= chunks / 3) continue;
        depths += control.depth();
        latencies.push_back(now - event.asked);
    }
    const double counted = chunks - chunks / 3;
    std::ranges::sort(latencies);
    return {.per_second = counted / (now - began),
            .mean_depth = depths / counted,
            .worst = latencies[latencies.size() * 99 / 100]};
}

TEST_CASE("the depth comes close to the bandwidth, and not far above what that needs") {
    struct Row {
        const char* name;
        SimulatedDisk disk;
        unsigned start;
        int chunks;
        double cold_read = 0;  ///< that a probe has found
    };
    const Row rows[] = {
        {"gp3, 35 ms", {.latency = 0.035, .per_second = 250}, 16, 3000},
        {"gp3, 35 ms, after a probe", {.latency = 0.035, .per_second = 250}, 9, 3000},
        {"gp3, 150 ms", {.latency = 0.150, .per_second = 250}, 16, 3000},
        {"gp3, 150 ms, after a probe", {.latency = 0.150, .per_second = 250}, 38, 3000},
        {"a provisioned rate, 35 ms", {.latency = 0.035, .per_second = 600}, 9, 6000},
        {"a fast volume, 35 ms", {.latency = 0.035, .per_second = 1500}, 9, 9000},
        {"touched only, 35 ms", {.latency = 0.035, .per_second = 3000}, 9, 20000},
        {"a slow store, after a probe", {.latency = 0.035, .per_second = 40}, 29, 800, 0.112},
        {"very uneven, after a probe",
         {.latency = 0.100, .per_second = 250, .spread = 1.0},
         38,
         6000,
         0.028},
        {"a slow store", {.latency = 0.035, .per_second = 20}, 16, 1500},
        {"5 ms", {.latency = 0.005, .per_second = 250}, 16, 3000},
        {"uneven, 35 ms", {.latency = 0.035, .per_second = 250, .spread = 0.4}, 16, 6000},
        {"uneven, 150 ms", {.latency = 0.150, .per_second = 250, .spread = 0.4}, 16, 6000},
        {"very uneven, 35 ms", {.latency = 0.035, .per_second = 250, .spread = 1.0}, 16, 6000},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        DepthControl control({.start = row.start,
                              .most = 64,
                              .cold_read = std::chrono::duration<double>(row.cold_read)});
        const Run run = run_on(row.disk, control, row.chunks);
        const double mean_latency =
            row.disk.latency * std::exp(row.disk.spread * row.disk.spread / 2);
        const double knee = row.disk.per_second * mean_latency + 1;
        const double reachable = std::min(row.disk.per_second, row.disk.per_second * 64 / knee);
        CAPTURE(run.per_second);
        CAPTURE(run.mean_depth);
        CAPTURE(knee);
        CHECK(run.per_second >= 0.9 * reachable);
        CHECK(run.mean_depth <= std::min(64.0, 1.45 * knee + 2));
        if (row.disk.spread == 0) {
            CHECK(run.worst <=
                  1.5 * (row.disk.latency + 1 / row.disk.per_second) + 2 / row.disk.per_second);
        }
    }
}

TEST_CASE("a store that is far slower than usual is not asked for so much for long") {
    DepthControl control({.start = 29, .most = 64, .cold_read = std::chrono::milliseconds(112)});
    run_on({.latency = 0.035, .per_second = 40}, control, 60);
    CHECK(control.depth() <= 8);
    // Reads that differ a lot are no slow store.
    DepthControl uneven({.start = 38, .most = 64, .cold_read = std::chrono::milliseconds(28)});
    run_on({.latency = 0.100, .per_second = 1000, .spread = 1.0}, uneven, 60);
    CHECK(uneven.depth() >= 38);
}

TEST_CASE("errors halve the depth, and it recovers") {
    DepthControl control({.start = 32, .least = 1, .most = 64});
    control.on_error();
    CHECK(control.depth() == 16);
    control.on_error();
    control.on_error();
    control.on_error();
    control.on_error();
    control.on_error();
    CHECK(control.depth() == 1);
    const SimulatedDisk disk{.latency = 0.035, .per_second = 250};
    run_on(disk, control, 3000);
    CHECK(run_on(disk, control, 3000).per_second >= 225);
}

TEST_CASE("a volume at its own limit is not asked for more") {
    DepthControl control({.start = 8, .least = 1, .most = 64});
    control.set_throttled(true);
    run_on({.latency = 0.035, .per_second = 1000}, control, 500);
    CHECK(control.depth() <= 9);
}

TEST_CASE("a depth that was not reached says nothing about the disk") {
    DepthControl control({.start = 16, .least = 1, .most = 64});
    for (int i = 0; i < 1000; ++i) {
        control.restart_measurement();
        control.on_done(at(i * 0.1), std::chrono::duration<double>(0.1));
    }
    CHECK(control.depth() == 16);
}

TEST_CASE("the first depth fills the usual volume") {
    using std::chrono::duration;
    CHECK(first_depth(duration<double>(0), 64) == 16);
    CHECK(first_depth(duration<double>(0), 4) == 4);
    CHECK(first_depth(duration<double>(0.035), 64) == 9);
    CHECK(first_depth(duration<double>(0.150), 64) == 38);
    CHECK(first_depth(duration<double>(0.001), 64) == 8);
    CHECK(first_depth(duration<double>(7), 64) == 64);
    CHECK(first_depth(duration<double>(7), 5) == 5);
}

TEST_CASE("a limit of rate holds over time") {
    constexpr std::uint64_t kRead = 512 << 10;
    for (const std::uint64_t limit : {std::uint64_t{1} << 20, std::uint64_t{100} << 20}) {
        RateLimit rate(limit);
        double now = 0;
        std::uint64_t bytes = 0;
        while (now < 10) {
            const auto delay = rate.delay(at(now));
            if (delay.count() > 0) {
                now += std::chrono::duration<double>(delay).count();
                continue;
            }
            rate.take(kRead);
            bytes += kRead;
        }
        CHECK(static_cast<double>(bytes) ==
              doctest::Approx(10.0 * static_cast<double>(limit)).epsilon(0.06));
    }
    RateLimit none(0);
    none.take(1ULL << 50);
    CHECK(none.delay(at(0)).count() == 0);
}

}  // namespace depth_test

}  // namespace prebake::hydrate
