#include "agent/base/worker_pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <stdexcept>

namespace prebake {
namespace {

TEST_CASE("tasks run in parallel, and their exceptions arrive") {
    WorkerPool pool(2);
    std::latch both(2);  // never opens if the tasks run one after the other
    auto first = pool.submit([&] { both.arrive_and_wait(); });
    auto second = pool.submit([&] { both.arrive_and_wait(); });
    first.get();
    second.get();
    CHECK_THROWS_AS(pool.submit([] { throw std::runtime_error("no"); }).get(), std::runtime_error);
}

TEST_CASE("one thread runs its tasks in order") {
    std::atomic<int> runs{0};
    std::latch begun(1);
    std::future<void> waiting;
    std::promise<void> go_on;
    {
        WorkerPool pool(1);
        auto running = pool.submit([&] {
            begun.count_down();
            go_on.get_future().wait();
            ++runs;
        });
        begun.wait();
        waiting = pool.submit([&] { ++runs; });
        go_on.set_value();
        running.get();
        waiting.wait();
    }
    CHECK(runs == 2);
}

TEST_CASE("for_each_parallel calls each number once") {
    std::vector<std::atomic<int>> calls(100);
    for_each_parallel(calls.size(), 4, [&](std::size_t i) { ++calls[i]; });
    for (const auto& count : calls) CHECK(count == 1);
    for_each_parallel(0, 4, [](std::size_t) { FAIL("called"); });
}

}  // namespace
}  // namespace prebake
