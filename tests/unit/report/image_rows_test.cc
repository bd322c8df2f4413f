#include "agent/report/image_rows.h"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <optional>
#include <random>

#include "agent/ledger/ledger_totals.h"

namespace prebake::report {
namespace {

using Names = std::vector<std::string>;

Time at(int second) {
    return Time(std::chrono::seconds(second));
}

v1::LedgerImage& add(v1::Ledger& ledger, const std::string& name, std::uint64_t hits,
                     std::optional<int> first_used = std::nullopt) {
    auto& image = *ledger.add_images();
    image.set_name(name);
    image.set_namespace_("k8s.io");
    image.set_hits(hits);
    if (first_used) *image.mutable_first_used_at() = to_timestamp(at(*first_used));
    return image;
}

Names names_of(const std::vector<ImageRow>& rows) {
    Names names;
    for (const auto& row : rows) names.push_back(row.name);
    return names;
}

std::uint64_t hits_of(const std::vector<ImageRow>& rows, const std::string& name) {
    for (const auto& row : rows) {
        if (row.name == name) return row.counts.hits;
    }
    FAIL("no row of " << name);
    return 0;
}

TEST_CASE("which images have a row") {
    v1::Ledger ledger;
    add(ledger, "often", 9, 50);
    add(ledger, "early", 1, 10);
    add(ledger, "late", 1, 90);
    add(ledger, "baked, late", 1, 80).set_baked(true);
    *add(ledger, "pulled early", 0).mutable_appeared_at() = to_timestamp(at(20));
    auto& never_used = *ledger.add_never_used();
    never_used.set_name("baked, never used");
    never_used.set_namespace_("k8s.io");
    struct Row {
        std::size_t room;
        Names names;
    };
    const Row rows[] = {
        {0, {"other"}},
        {1, {"baked, late", "other"}},
        {2, {"baked, late", "baked, never used", "other"}},
        {3, {"baked, late", "baked, never used", "early", "other"}},
        {4, {"baked, late", "baked, never used", "early", "pulled early", "other"}},
        {5, {"baked, late", "baked, never used", "early", "often", "pulled early", "other"}},
        {6, {"baked, late", "baked, never used", "early", "late", "often", "pulled early"}},
        {7, {"baked, late", "baked, never used", "early", "late", "often", "pulled early"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.room);
        CHECK(names_of(ImageRows(row.room).update(ledger)) == row.names);
    }
}

TEST_CASE("an image keeps its row") {
    v1::Ledger ledger;
    add(ledger, "a", 5, 10);
    add(ledger, "b", 4, 20);
    add(ledger, "c", 3, 30);
    ImageRows image_rows(2);
    CHECK(hits_of(image_rows.update(ledger), "other") == 3);
    SUBCASE("another image has more starts") {
        ledger.mutable_images(2)->set_hits(300);
        CHECK(hits_of(image_rows.update(ledger), "other") == 300);
    }
    SUBCASE("a baked image is used for the first time") {
        add(ledger, "d", 1, 40).set_baked(true);
        CHECK(hits_of(image_rows.update(ledger), "other") == 4);
    }
    SUBCASE("an image was first used by a clock that was set back") {
        add(ledger, "d", 1, 1);
        CHECK(hits_of(image_rows.update(ledger), "other") == 4);
    }
    const auto rows = image_rows.update(ledger);
    CHECK(names_of(rows) == Names{"a", "b", "other"});
    CHECK(hits_of(rows, "a") == 5);
    CHECK(hits_of(rows, "b") == 4);
}

TEST_CASE("a merged image keeps its row, and its later starts count as \"other\"") {
    v1::Ledger ledger;
    add(ledger, "a", 5).set_digest("sha256:1");
    add(ledger, "a", 2).set_digest("sha256:2");
    ImageRows image_rows;
    CHECK(hits_of(image_rows.update(ledger), "a") == 7);

    ledger.mutable_images(0)->Swap(ledger.mutable_other());
    ledger.mutable_images()->DeleteSubrange(0, 1);
    ledger.set_folded(1);
    auto rows = image_rows.update(ledger);
    CHECK(hits_of(rows, "a") == 7);
    CHECK(hits_of(rows, "other") == 0);

    ledger.mutable_images(0)->set_hits(4);
    rows = image_rows.update(ledger);
    CHECK(hits_of(rows, "a") == 7);
    CHECK(hits_of(rows, "other") == 2);

    ledger.clear_images();
    ledger.mutable_other()->set_hits(9);
    rows = image_rows.update(ledger);
    CHECK(hits_of(rows, "a") == 7);
    CHECK(hits_of(rows, "other") == 2);
}

TEST_CASE("another claim starts from zero") {
    v1::Ledger ledger;
    ledger.set_claim("i-1");
    add(ledger, "a", 5);
    add(ledger, "b", 5);
    ImageRows image_rows(1);
    CHECK(names_of(image_rows.update(ledger)) == Names{"a", "other"});
    v1::Ledger next;
    add(next, "b", 1);
    SUBCASE("of another instance") {
        next.set_claim("i-2");
    }
    SUBCASE("of the same instance, later") {
        next.set_claim("i-1");
        *next.mutable_since() = to_timestamp(at(1));
    }
    const auto rows = image_rows.update(next);
    CHECK(names_of(rows) == Names{"b"});
    CHECK(hits_of(rows, "b") == 1);
}

TEST_CASE("no row falls, and all rows add up, whatever happens on the node") {
    std::mt19937 random(20260101);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same every time
    const auto below = [&](std::size_t end) { return random() % end; };
    ledger::LedgerTotals totals{v1::LedgerState()};
    ImageRows image_rows(40);
    std::map<std::string, ImageCounts> before;
    for (std::size_t round = 0; round < 150; ++round) {
        for (int i = 0; i < 30; ++i) {
            // More and more names: most appear late, and the early ones are still used.
            const std::size_t number = below(2) == 0 ? below(30) : below(20 * round + 30);
            auto& entry = totals.entry({.image = "image-" + std::to_string(number), .ns = "k8s.io"},
                                       "sha256:" + std::to_string(below(3)));
            entry.set_baked(number % 50 == 7);
            if (below(3) == 0) totals.add_pulled(entry, below(1000));
            const auto start = static_cast<ledger::StartClass>(below(3));
            totals.count(entry, start, {}, at(static_cast<int>(below(100'000))));
        }
        const v1::Ledger ledger = totals.report();
        v1::Totals sum;
        std::map<std::string, ImageCounts> now;
        for (const auto& row : image_rows.update(ledger)) {
            now[row.name] = row.counts;
            sum.set_hits(sum.hits() + row.counts.hits);
            sum.set_misses(sum.misses() + row.counts.misses);
            sum.set_bytes_pulled(sum.bytes_pulled() + row.counts.bytes_pulled);
        }
        CAPTURE(round);
        CHECK(sum.hits() == ledger.since_claim().hits());
        CHECK(sum.misses() == ledger.since_claim().misses());
        CHECK(sum.bytes_pulled() == ledger.since_claim().bytes_pulled());
        for (const auto& row : before) {
            CAPTURE(row.first);
            REQUIRE(now.contains(row.first));
            const ImageCounts& counts = now[row.first];
            CHECK(counts.hits >= row.second.hits);
            CHECK(counts.partials >= row.second.partials);
            CHECK(counts.misses >= row.second.misses);
            CHECK(counts.bytes_pulled >= row.second.bytes_pulled);
        }
        before = std::move(now);
    }
    CHECK(totals.report().folded() > 0);  // otherwise this test would not cover merging
}

}  // namespace
}  // namespace prebake::report
