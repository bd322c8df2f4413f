#include "agent/report/pull_advice.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/report/node_hydration.h"
#include "tests/unit/report/hydrated_samples.h"

namespace prebake::report::pull_advice_test {

using hydrated_samples::hydrated;
using hydrated_samples::kMiB;

TEST_CASE("when a pull would have been faster") {
    struct Row {
        const char* name;
        WarmOrPull numbers;
        bool is_given;
    };
    const Row rows[] = {
        {"twice as fast", {1000 * kMiB, 10.0 * kMiB, 500 * kMiB, 10.0 * kMiB}, true},
        {"as fast", {500 * kMiB, 10.0 * kMiB, 500 * kMiB, 10.0 * kMiB}, false},
        {"slower", {500 * kMiB, 100.0 * kMiB, 500 * kMiB, 10.0 * kMiB}, false},
        {"hardly faster", {550 * kMiB, 10.0 * kMiB, 500 * kMiB, 10.0 * kMiB}, false},
        {"faster by three seconds", {60 * kMiB, 10.0 * kMiB, 30 * kMiB, 10.0 * kMiB}, false},
        {"nobody knows how fast a pull is", {1000 * kMiB, 10.0 * kMiB, 500 * kMiB, 0}, false},
        {"nor how fast the disk is", {1000 * kMiB, 0, 500 * kMiB, 10.0 * kMiB}, false},
        {"nothing to pull", {1000 * kMiB, 10.0 * kMiB, 0, 10.0 * kMiB}, false},
        {"nothing is cold", {0, 10.0 * kMiB, 500 * kMiB, 10.0 * kMiB}, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(pull_advice(row.numbers).empty() != row.is_given);
    }
}

TEST_CASE("the advice has the numbers and the choices, and fits into a line of the status") {
    const std::string advice = pull_advice({.cold_bytes = 6656 * kMiB,
                                            .bytes_per_second = 69.0 * kMiB,
                                            .compressed_bytes = 2150 * kMiB,
                                            .pull_bytes_per_second = 60.0 * kMiB});
    CHECK(advice ==
          "this disk gets warm more slowly (6.5 GiB at 69.0 MiB/s: 1 min 36 s) than a pull would "
          "take (2.1 GiB at 60.0 MiB/s: 35.8 s, as when baked); if it matters: a provisioned rate "
          "for volume initialization, or fast snapshot restore");
    CHECK(advice.size() <= 240);
}

struct Baked {
    std::int64_t at;
    double seconds;
    std::uint64_t fetched;
};

v1::BakeRecord record_of(const std::vector<Baked>& images) {
    v1::BakeRecord record;
    for (const Baked& baked : images) {
        v1::BakedImage& image = *record.add_images();
        if (baked.at > 0) image.mutable_baked_at()->set_seconds(baked.at);
        image.set_seconds(baked.seconds);
        image.set_bytes_fetched(baked.fetched);
    }
    return record;
}

TEST_CASE("how fast the bake was") {
    struct Row {
        const char* name;
        std::vector<Baked> images;
        double rate;
    };
    const Row rows[] = {
        {"nothing was baked", {}, 0},
        {"one", {{1000, 10, 500}}, 50},
        {"two at the same time", {{1000, 10, 500}, {1000, 10, 500}}, 100},
        {"two that overlap", {{1000, 10, 500}, {1005, 10, 250}}, 50},
        {"one within the other", {{1000, 10, 500}, {998, 2, 100}}, 60},
        {"a day between them", {{1000, 10, 500}, {87'400, 10, 500}}, 50},
        {"in another order", {{87'400, 10, 500}, {1000, 10, 500}}, 50},
        {"nothing had to be fetched", {{1000, 10, 0}}, 0},
        {"no times", {{0, 10, 500}, {1000, 0, 500}}, 0},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(baked_bytes_per_second(record_of(row.images)) == doctest::Approx(row.rate));
    }
}

TEST_CASE("a node's advice") {
    const v1::BakeRecord record = record_of({{1000, 10, 600 * kMiB}});
    HydrationFacts facts{.progress = hydrated()};  // 1,000 MiB in 96 s
    CHECK_FALSE(pull_advice(*node_hydration(facts), record, 600 * kMiB).empty());
    CHECK_MESSAGE(pull_advice(*node_hydration(facts), {}, 600 * kMiB).empty(),
                  "its speed is unknown");
    facts.progress->set_seconds(2);
    CHECK_MESSAGE(pull_advice(*node_hydration(facts), record, 600 * kMiB).empty(),
                  "too early to tell");
    facts.progress->set_seconds(20);
    CHECK(pull_advice(*node_hydration(facts), record, 1500 * kMiB).empty());
    facts.progress = hydrated();
    for (v1::HydratedRank& rank : *facts.progress->mutable_ranks()) rank.set_rank(v1::BOOT);
    CHECK_MESSAGE(pull_advice(*node_hydration(facts), record, 600 * kMiB).empty(),
                  "what the machine itself reads is in no image");
    CHECK(pull_advice(v1::NodeHydration(), record, 600 * kMiB).empty());
}

}  // namespace prebake::report::pull_advice_test
