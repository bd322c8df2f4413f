#include "agent/guard/suspicions.h"

#include <doctest/doctest.h>

namespace prebake::guard::suspicions_test {

using namespace std::chrono_literals;

const ImageKey kA{.image = "a", .ns = "k8s.io"};
const ImageKey kB{.image = "b", .ns = "k8s.io"};
const SteadyTime kStart{1h};

TEST_CASE("an image is repaired at most five times a minute, independently of other images") {
    RepairAllowance allowance;
    for (int i = 0; i < 5; ++i) CHECK(allowance.take(kA, kStart + i * 1s));
    CHECK_FALSE(allowance.take(kA, kStart + 5s));
    CHECK(allowance.take(kB, kStart + 5s));
    CHECK_FALSE(allowance.take(kA, kStart + 59s));
    CHECK(allowance.take(kA, kStart + 60s));
    CHECK_FALSE(allowance.take(kA, kStart + 60s));
}

TEST_CASE("a check waits until events stop, but not longer than the limit") {
    Suspicions suspicions;
    CHECK_FALSE(suspicions.due().has_value());
    suspicions.add(kA, "deleted", kStart);
    CHECK(suspicions.due() == kStart + Suspicions::kCalm);
    CHECK(suspicions.take(kStart + 49ms).empty());
    suspicions.add(kB, "deleted", kStart + 40ms);
    CHECK(suspicions.due() == kStart + 40ms + Suspicions::kCalm);
    for (auto at = 80ms; at < 500ms; at += 40ms) suspicions.add(kA, "again", kStart + at);
    CHECK(suspicions.due() == kStart + Suspicions::kMostDelay);
    const auto taken = suspicions.take(kStart + Suspicions::kMostDelay);
    REQUIRE(taken.size() == 2);
    CHECK(taken.at(kA) == "deleted");
    CHECK_FALSE(suspicions.due().has_value());
}

TEST_CASE("other suspicions do not bring a later check forward") {
    Suspicions suspicions;
    suspicions.add_later(kA, "a bake runs", kStart + 30s);
    suspicions.add_later(kA, "a bake runs", kStart + 60s);
    CHECK(suspicions.due() == kStart + 30s);
    suspicions.add(kB, "deleted", kStart);
    const auto first = suspicions.take(kStart + Suspicions::kCalm);
    CHECK(first.size() == 1);
    CHECK(first.contains(kB));
    CHECK(suspicions.take(kStart + 30s).at(kA) == "a bake runs");
    suspicions.add_later(kA, "x", kStart + 90s);
    suspicions.clear();
    CHECK_FALSE(suspicions.due().has_value());
}

}  // namespace prebake::guard::suspicions_test
