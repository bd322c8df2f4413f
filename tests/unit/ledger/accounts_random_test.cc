// Random days of a node. The counts are compared with a model that knows where each layer came
// from.
#include <doctest/doctest.h>

#include <random>

#include "agent/ledger/accounts.h"
#include "tests/unit/ledger/scripted_node.h"

namespace prebake::ledger {
namespace {

using tests::digest;
using tests::ScriptedNode;
using tests::seconds;
using tests::Spec;

/// The model: for each snapshot and blob whether its bytes came from the bake.
struct Truth {
    std::map<std::pair<std::string, std::string>, bool> chains;  ///< (namespace, chain) -> baked
    std::map<std::string, bool> blobs;                           ///< of any namespace -> baked
    std::uint64_t hits = 0;
    std::uint64_t partials = 0;
    std::uint64_t misses = 0;
    std::map<std::string, std::uint64_t> served;  ///< digest -> bytes
    std::uint64_t pulled = 0;                     ///< bytes, each time that they were fetched
};

class Day {
  public:
    Day(unsigned seed, std::vector<std::string> namespaces)
        : random_(seed), namespaces_(std::move(namespaces)) {
        for (int i = 0; i < 8; ++i) {
            const std::string id = std::to_string(i);
            // Few bases and middles: baked and other images share many layers.
            Spec spec{.name = "reg.io/n" + id + ":1", .layers = {}};
            const int base = i > 5 ? 2 : i % 2;
            const int middle = i > 5 ? 3 : i % 3;
            spec.layers.emplace_back("base " + std::to_string(base), 1000 + base);
            spec.layers.emplace_back("middle " + std::to_string(middle), 100 + middle);
            spec.layers.emplace_back("top " + id, 10 + i);
            specs_.push_back(spec);
            if (i < 3) node_.bake(spec, namespaces_);
        }
        for (const auto& [ns, store] : node_.stores) {
            for (const auto& [chain, snapshot] : store.snapshots) truth_.chains[{ns, chain}] = true;
            for (const auto& [blob, at] : store.blobs) truth_.blobs[blob] = true;
        }
        node_.boot();
    }

    void pull() {
        const std::string& ns = any_namespace();
        const Spec& spec = any_spec();
        const auto before = node_.stores[ns].snapshots;
        const std::set<std::string> fetched = node_.pull(ns, spec);
        for (const v1::Layer& layer : spec.parts()) {
            if (fetched.contains(layer.digest())) {
                truth_.blobs[layer.digest()] = false;
                truth_.pulled += layer.size();
            }
            if (before.contains(layer.chain_id())) continue;
            truth_.chains[{ns, layer.chain_id()}] = truth_.blobs.at(layer.digest());
        }
    }
    void remove() {
        const std::string& ns = any_namespace();
        const Spec& spec = any_spec();
        if (!node_.stores[ns].images.contains(spec.name)) return;
        if (is_used_kept_ && node_.is_used(ns, spec)) return;
        node_.remove(ns, spec);
    }
    void start() {
        const std::string& ns = any_namespace();
        const Spec& spec = any_spec();
        if (!node_.stores[ns].images.contains(spec.name)) return;
        node_.start(ns, spec, "c" + std::to_string(next_++));
        bool is_whole = &spec - specs_.data() < 3;
        bool is_part = false;
        for (const v1::Layer& layer : spec.parts()) {
            const bool is_baked = truth_.chains.at({ns, layer.chain_id()});
            is_whole &= is_baked;
            is_part |= is_baked;
            if (is_baked) truth_.served[layer.digest()] = layer.size();
        }
        ++(is_whole ? truth_.hits : is_part ? truth_.partials : truth_.misses);
    }
    void stop() {
        const std::string& ns = any_namespace();
        auto& containers = node_.stores[ns].containers;
        if (containers.empty() || node_.loses_events) return;
        node_.stop(ns, containers.begin()->first);
        node_.collect(ns);
    }
    void step() {
        const auto dice = random_() % 10;
        if (dice < 3) return pull();
        if (dice < 5) return remove();
        if (dice < 8) return start();
        stop();
    }

    void check_starts() const {
        const v1::Ledger ledger = node_.accounts->report();
        for (const v1::Totals& totals : {ledger.since_claim(), ledger.boot()}) {
            CHECK(totals.hits() == truth_.hits);
            CHECK(totals.partials() == truth_.partials);
            CHECK(totals.misses() == truth_.misses);
            CHECK(totals.starts() == truth_.hits + truth_.partials + truth_.misses);
        }
        std::uint64_t starts = 0;
        std::uint64_t served = 0;
        std::uint64_t pulled = 0;
        for (const v1::LedgerImage& image : ledger.images()) {
            starts += image.starts();
            served += image.bytes_served();
            pulled += image.bytes_pulled();
        }
        CHECK(starts == ledger.since_claim().starts());
        CHECK(served == ledger.since_claim().bytes_served());
        CHECK(pulled == ledger.since_claim().bytes_pulled());
    }
    void check_bytes() const {
        std::uint64_t served = 0;
        for (const auto& [layer, size] : truth_.served) served += size;
        const v1::Ledger ledger = node_.accounts->report();
        for (const v1::Totals& totals : {ledger.since_claim(), ledger.boot()}) {
            CHECK(totals.bytes_served() == served);
            CHECK(totals.bytes_pulled() == truth_.pulled);
        }
    }

    ScriptedNode node_;
    Truth truth_;
    std::mt19937 random_;
    /// A snapshot that was made again from the baked blob, which was deleted later, counts as
    /// pulled after a restart: nothing shows where it came from. Images in use keep their names, so
    /// that this does not happen.
    bool is_used_kept_ = false;

  private:
    const std::string& any_namespace() { return namespaces_[random_() % namespaces_.size()]; }
    const Spec& any_spec() { return specs_[random_() % specs_.size()]; }

    std::vector<std::string> namespaces_;
    std::vector<Spec> specs_;
    int next_ = 0;
};

TEST_CASE("random days in two namespaces") {
    std::uint64_t starts_of_a_kind[3] = {};
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Day day(seed, {"k8s.io", "moby"});
        for (int i = 0; i < 120; ++i) day.step();
        day.check_starts();
        day.check_bytes();
        starts_of_a_kind[0] += day.truth_.hits;
        starts_of_a_kind[1] += day.truth_.partials;
        starts_of_a_kind[2] += day.truth_.misses;
    }
    for (const std::uint64_t starts : starts_of_a_kind) CHECK(starts > 100);
}

TEST_CASE("random days with restarts during pulls") {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Day day(seed, {"k8s.io"});
        day.is_used_kept_ = true;
        day.node_.on_layer = [&day] {
            const auto dice = day.random_() % 4;
            if (dice < 2) day.start();
            if (dice == 0) day.node_.restart();
        };
        for (int i = 0; i < 120; ++i) day.step();
        day.check_starts();
        day.check_bytes();
    }
}

TEST_CASE("random days with restarts and lost events") {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Day day(seed, {"k8s.io"});
        day.is_used_kept_ = true;
        for (int i = 0; i < 120; ++i) {
            day.step();
            if (i % 17 == 16) day.node_.restart();
            if (i % 23 != 22) continue;
            day.node_.loses_events = true;
            // Containers that start and end in a gap are not found: this gap has only starts.
            day.pull();
            const std::uint64_t before = day.node_.totals().starts();
            for (int k = 0; k < 3; ++k) day.start();
            const std::size_t found = day.node_.relist();
            CHECK(found + before == day.truth_.hits + day.truth_.partials + day.truth_.misses);
        }
        day.check_starts();
        day.check_bytes();
    }
}

}  // namespace
}  // namespace prebake::ledger
