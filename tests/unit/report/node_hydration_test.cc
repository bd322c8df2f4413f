#include "agent/report/node_hydration.h"

#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <string>

#include "tests/unit/report/hydrated_samples.h"

namespace prebake::report::node_hydration_test {

using hydrated_samples::add_cold_volume;
using hydrated_samples::add_rank;
using hydrated_samples::hydrated;
using hydrated_samples::hydrating;
using hydrated_samples::kMiB;

v1::NodeHydration state_after(const std::function<void(HydrationFacts&)>& change) {
    HydrationFacts facts{.has_plan = true, .progress = hydrating()};
    change(facts);
    const auto found = node_hydration(facts);
    REQUIRE(found);
    return *found;
}

TEST_CASE("the line of the status") {
    struct Row {
        const char* name;
        std::function<void(HydrationFacts&)> change;
        const char* state;
        const char* line;
    };
    const std::string cold = "; cold: 6.0 MiB/s at depth 1, 140.0 MiB/s at 32";
    const Row rows[] = {
        {"in the middle", [](HydrationFacts&) {}, "hydrating",
         "63% (630.0 MiB of 1000.0 MiB), 131.0 MiB/s, 18.0 s left; cold: 6.0 MiB/s at depth 1, "
         "140.0 MiB/s at 32"},
        {"nothing is known of its speed",
         [](HydrationFacts& facts) {
             facts.progress->clear_bytes_per_second();
             facts.progress->clear_eta_seconds();
             facts.progress->clear_volumes();
         },
         "hydrating", "63% (630.0 MiB of 1000.0 MiB)"},
        {"one reader was as fast as any",
         [](HydrationFacts& facts) { facts.progress->mutable_volumes(0)->set_peak_depth(1); },
         "hydrating",
         "63% (630.0 MiB of 1000.0 MiB), 131.0 MiB/s, 18.0 s left; cold: 6.0 MiB/s at depth 1"},
        {"measured on a disk that is not lazy",
         [](HydrationFacts& facts) { facts.progress->mutable_volumes(0)->set_lazy(false); },
         "hydrating", "63% (630.0 MiB of 1000.0 MiB), 131.0 MiB/s, 18.0 s left"},
        {"almost all is not all",
         [](HydrationFacts& facts) {
             facts.progress->clear_volumes();
             facts.progress->clear_bytes_per_second();
             facts.progress->clear_eta_seconds();
             facts.progress->mutable_ranks(2)->set_bytes(690 * kMiB - 1);
         },
         "hydrating", "99% (1000.0 MiB of 1000.0 MiB)"},
        {"numbers that are none",
         [](HydrationFacts& facts) {
             facts.progress->clear_volumes();
             facts.progress->set_bytes_per_second(std::numeric_limits<double>::quiet_NaN());
             facts.progress->set_eta_seconds(-1);
         },
         "hydrating", "63% (630.0 MiB of 1000.0 MiB)"},
        {"more than there is",
         [](HydrationFacts& facts) {
             facts.progress->clear_volumes();
             facts.progress->clear_eta_seconds();
             facts.progress->set_bytes_per_second(1e300);
             facts.progress->mutable_ranks(2)->set_bytes(2'000 * kMiB);
         },
         "hydrating", "100% (2.3 GiB of 1000.0 MiB), 888.2 PiB/s"},
        {"the first seconds",
         [](HydrationFacts& facts) {
             facts.progress->set_state("probing");
             facts.progress->clear_volumes();
         },
         "probing", "finding out how cold the disk is"},
        {"done", [](HydrationFacts& facts) { facts.progress = hydrated(); }, "hydrated",
         "hot 310.0 MiB in 2.2 s, all 1000.0 MiB in 1 min 36 s; cold: 6.0 MiB/s at depth 1, 140.0 "
         "MiB/s at 32"},
        {"done, without a recording",
         [](HydrationFacts& facts) {
             facts.progress = hydrated();
             facts.progress->clear_volumes();
             facts.progress->clear_ranks();
             add_rank(*facts.progress, v1::IMAGES, kMiB, kMiB, 1);
         },
         "hydrated", "all 1.0 MiB in 1 min 36 s"},
        {"done before this boot",
         [](HydrationFacts& facts) {
             facts.progress = hydrated();
             facts.progress->clear_volumes();
             for (v1::HydratedRank& rank : *facts.progress->mutable_ranks()) rank.set_seconds(0);
         },
         "hydrated", "all 1000.0 MiB in 1 min 36 s"},
        {"some could not be read",
         [](HydrationFacts& facts) {
             facts.progress->clear_volumes();
             facts.progress->set_state("incomplete");
         },
         "incomplete", "incomplete at 63% (630.0 MiB of 1000.0 MiB)"},
        {"killed",
         [](HydrationFacts& facts) {
             facts.progress->clear_volumes();
             facts.is_silent = true;
         },
         "stopped", "stopped at 63% (630.0 MiB of 1000.0 MiB)"},
        {"what is done stays done",
         [](HydrationFacts& facts) {
             facts.progress = hydrated();
             facts.progress->clear_volumes();
             facts.is_silent = true;
         },
         "hydrated", "hot 310.0 MiB in 2.2 s, all 1000.0 MiB in 1 min 36 s"},
        {"failed before it began",
         [](HydrationFacts& facts) {
             facts.progress->set_state("failed");
             facts.progress->clear_ranks();
         },
         "failed", ""},
        {"not needed", [](HydrationFacts& facts) { facts.progress->set_state("not_needed"); },
         "not_needed", ""},
        {"did not run", [](HydrationFacts& facts) { facts.progress.reset(); }, "not_run", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const v1::NodeHydration found = state_after(row.change);
        CHECK(found.state() == row.state);
        CHECK(hydration_line(found) == row.line);
    }
}

TEST_CASE("what reports get of the document") {
    const v1::NodeHydration found = state_after([](HydrationFacts& facts) {
        add_cold_volume(*facts.progress);
        facts.progress->mutable_traced_at()->set_seconds(77);
    });
    CHECK(found.bytes() == 630 * kMiB);
    CHECK(found.total_bytes() == 1000 * kMiB);
    CHECK(found.ranks_size() == 3);
    CHECK(found.depth() == 24);
    CHECK(found.cold_reads() == 1400);
    CHECK(found.throttled_seconds() == doctest::Approx(5));
    CHECK(found.traced_at().seconds() == 77);
    CHECK_MESSAGE(found.peak_depth() == 32, "of the first volume");
}

TEST_CASE("nothing reads after it has stopped") {
    const v1::NodeHydration found =
        state_after([](HydrationFacts& facts) { facts.is_silent = true; });
    CHECK(found.bytes_per_second() == 0);
    CHECK(found.eta_seconds() == 0);
    CHECK(found.depth() == 0);
}

TEST_CASE("no report where there is nothing to hydrate") {
    CHECK_FALSE(node_hydration({}));
    CHECK_FALSE(node_hydration({.has_plan = true, .is_plan_of_this_boot = true}));
    CHECK(node_hydration({.has_plan = true}));
    CHECK(node_hydration({.progress = hydrated()}));
}

}  // namespace prebake::report::node_hydration_test
