// How long the first containers of a boot took to start, and whether the disk was warm.
#include <doctest/doctest.h>

#include <string>

#include "agent/ledger/accounts.h"
#include "tests/unit/ledger/scripted_node.h"

namespace prebake::ledger::first_starts_test {

using std::chrono::seconds;
using tests::ScriptedNode;
using tests::Spec;

const Spec kApp{"docker.io/library/app:1", {{"base", 100}, {"app", 20}}};
const Spec kOther{"docker.io/library/other:1", {{"base", 100}, {"other", 30}}};
constexpr const char* kCri = ScriptedNode::kCri;

void start_within(ScriptedNode& node, const Spec& spec, const std::string& key, int duration) {
    node.create(kCri, spec, key);
    node.tick(seconds(duration));
    node.run(kCri, key);
}

v1::LedgerImage entry_of(const ScriptedNode& node, const Spec& spec) {
    const v1::Ledger ledger = node.accounts->report();
    for (const v1::LedgerImage& image : ledger.images()) {
        if (image.name() == spec.name) return image;
    }
    return {};
}

TEST_CASE("the first start of each baked image in a boot is timed, later ones are not") {
    ScriptedNode node;
    node.bake(kApp);
    node.bake(kOther);
    node.boot();
    node.accounts->set_warmth(DiskWarmth());
    start_within(node, kApp, "one", 9);
    start_within(node, kApp, "two", 3);
    node.accounts->set_warmth(DiskWarmth{.hydrated_at = node.now});
    start_within(node, kOther, "three", 2);
    start_within(node, kApp, "four", 1);

    CHECK(entry_of(node, kApp).first_start_seconds() == doctest::Approx(9));
    CHECK_FALSE(entry_of(node, kApp).first_start_hydrated());
    CHECK(entry_of(node, kOther).first_start_seconds() == doctest::Approx(2));
    CHECK(entry_of(node, kOther).first_start_hydrated());
    const v1::FirstStarts starts = node.accounts->report().first_starts();
    CHECK(starts.cold() == 1);
    CHECK(starts.cold_mean_seconds() == doctest::Approx(9));
    CHECK(starts.hydrated() == 1);
    CHECK(starts.hydrated_mean_seconds() == doctest::Approx(2));
}

TEST_CASE("a container that was created before the disk was warm started cold") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.create(kCri, kApp, "one");
    node.accounts->set_warmth(DiskWarmth{.hydrated_at = node.tick()});
    node.tick();
    node.run(kCri, "one");
    CHECK(node.accounts->report().first_starts().cold() == 1);
}

TEST_CASE("without a disk that loads lazily there is a time, and nothing to compare") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    start_within(node, kApp, "one", 4);
    CHECK(entry_of(node, kApp).first_start_seconds() == doctest::Approx(4));
    CHECK_FALSE(node.accounts->report().has_first_starts());
}

TEST_CASE("what was not baked is not timed") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.accounts->set_warmth(DiskWarmth());
    node.pull(kCri, kOther);
    start_within(node, kOther, "one", 4);
    CHECK(entry_of(node, kOther).starts() == 1);
    CHECK(entry_of(node, kOther).first_start_seconds() == 0);
    CHECK_FALSE(node.accounts->report().has_first_starts());
}

TEST_CASE("the sandbox image is not timed, whatever CRI calls it") {
    ScriptedNode node;
    node.bake(kApp);
    node.record.mutable_images(0)->mutable_placements(0)->add_names("registry.k8s.io/pause:3.9");
    Spec alias = kApp;
    alias.name = "registry.k8s.io/pause:3.9";
    node.put(kCri, alias);
    node.sandbox = alias.name;
    node.boot();
    node.accounts->set_warmth(DiskWarmth());
    start_within(node, kApp, "one", 9);
    CHECK(entry_of(node, kApp).starts() == 1);
    CHECK_FALSE(node.accounts->report().has_first_starts());
}

TEST_CASE("the daemon restarts: the first start stays the first") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.accounts->set_warmth(DiskWarmth());
    start_within(node, kApp, "one", 9);
    node.restart();
    node.accounts->set_warmth(DiskWarmth());
    start_within(node, kApp, "two", 3);
    CHECK(entry_of(node, kApp).first_start_seconds() == doctest::Approx(9));
    CHECK(node.accounts->report().first_starts().cold() == 1);
}

TEST_CASE("a start that only a listing found has no time, and is the first one anyway") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.accounts->set_warmth(DiskWarmth());
    node.loses_events = true;
    start_within(node, kApp, "one", 9);
    node.loses_events = false;
    node.relist();
    REQUIRE(entry_of(node, kApp).starts() == 1);
    start_within(node, kApp, "two", 3);
    CHECK(entry_of(node, kApp).first_start_seconds() == 0);
    CHECK_FALSE(node.accounts->report().has_first_starts());
}

TEST_CASE("each boot has its first start; the totals are since the claim") {
    ScriptedNode node;
    node.bake(kApp);
    node.boot();
    node.accounts->set_warmth(DiskWarmth());
    start_within(node, kApp, "one", 9);
    node.boot("i-1", "boot-2");
    CHECK(entry_of(node, kApp).first_start_seconds() == 0);
    node.accounts->set_warmth(DiskWarmth{.hydrated_at = node.now});
    start_within(node, kApp, "two", 2);
    CHECK(entry_of(node, kApp).first_start_seconds() == doctest::Approx(2));
    const v1::FirstStarts starts = node.accounts->report().first_starts();
    CHECK(starts.cold() == 1);
    CHECK(starts.hydrated() == 1);
}

}  // namespace prebake::ledger::first_starts_test
