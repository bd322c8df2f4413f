#include "agent/bake/once_map.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <stdexcept>
#include <string>

namespace prebake::bake {
namespace {

TEST_CASE("work is done once for each key") {
    OnceMap<std::string> map;
    int a = 0;
    int b = 0;
    map.run("a", [&] { ++a; });
    map.run("a", [&] { ++a; });
    map.run("b", [&] { ++b; });
    CHECK(a == 1);
    CHECK(b == 1);
}

TEST_CASE("after a failure the next caller does the work") {
    OnceMap<std::string> map;
    CHECK_THROWS_AS(map.run("a", [] { throw std::runtime_error("first"); }), std::runtime_error);
    bool ran = false;
    map.run("a", [&] { ran = true; });
    CHECK(ran);
}

TEST_CASE("callers that come while the work is in progress wait for it") {
    OnceMap<std::string> map;
    std::promise<void> begun;
    std::promise<void> go_on;
    std::atomic<int> runs{0};
    auto first = std::async(std::launch::async, [&] {
        map.run("a", [&] {
            ++runs;
            begun.set_value();
            go_on.get_future().wait();
        });
    });
    begun.get_future().wait();
    auto second = std::async(std::launch::async, [&] { map.run("a", [&] { ++runs; }); });
    go_on.set_value();
    first.get();
    second.get();
    CHECK(runs == 1);
}

}  // namespace
}  // namespace prebake::bake
