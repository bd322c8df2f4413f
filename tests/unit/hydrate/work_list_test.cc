#include "agent/hydrate/work_list.h"

#include <doctest/doctest.h>

#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace prebake::hydrate {

namespace work_list_test {

using namespace std::chrono_literals;
using Time = WorkList::Time;

const Time kStart = Time{} + 1h;

ChunkSet chunks(std::initializer_list<ChunkRun> runs) {
    ChunkSet set;
    for (const ChunkRun& run : runs) set.add(run);
    return set;
}

PartWork part(std::initializer_list<ChunkRun> runs, std::size_t volume = 0) {
    return {.volume = volume, .rank = v1::METADATA, .chunks = chunks(runs)};
}

std::vector<std::uint64_t> take_all(WorkList& list, Time now = kStart) {
    std::vector<std::uint64_t> taken;
    while (const auto work = list.next(now)) {
        taken.push_back(work->chunk);
        list.done(*work);
    }
    return taken;
}

using Numbered = std::vector<std::uint64_t>;

TEST_CASE("chunks come part after part, in disk order") {
    WorkList list({part({{10, 2}, {20, 1}}), part({{0, 2}})});
    CHECK_FALSE(list.is_over());
    CHECK(take_all(list) == Numbered{10, 11, 20, 0, 1});
    CHECK(list.is_over());
    CHECK(list.read_chunks(0) == 3);
    CHECK(list.total_chunks(1) == 2);
    CHECK(list.done_without_gap(0) == 3);
}

TEST_CASE("an empty list is over") {
    WorkList none({});
    CHECK(none.is_over());
    WorkList empty({part({})});
    CHECK(empty.is_over());
    CHECK_FALSE(empty.next(kStart));
}

TEST_CASE("what is done has no gap") {
    WorkList list({part({{0, 4}})});
    const auto first = *list.next(kStart);
    const auto second = *list.next(kStart);
    CHECK(list.done_without_gap(0) == 0);
    list.done(second);
    CHECK(list.done_without_gap(0) == 0);
    list.done(first);
    CHECK(list.done_without_gap(0) == 2);
}

TEST_CASE("a later run begins where the one before ended, and tries again what has failed") {
    PartWork resumed = part({{10, 3}, {20, 3}});
    resumed.done = 4;
    // Chunk 21 comes anyway.
    resumed.failed = chunks({{11, 1}, {21, 1}, {99, 1}});
    WorkList list({resumed});
    CHECK(list.read_chunks(0) == 3);
    CHECK(list.total_chunks(0) == 6);
    CHECK_FALSE(list.is_over());
    CHECK(take_all(list) == Numbered{21, 22, 11});
    CHECK(list.is_over());
    CHECK(list.read_chunks(0) == 6);
    CHECK(list.done_without_gap(0) == 6);
}

TEST_CASE("what fails comes again behind its part, later each time, and is given up in the end") {
    WorkList list({part({{0, 2}}), part({{5, 1}})});
    Time now = kStart;
    const auto bad = *list.next(now);
    list.failed(bad, now);
    CHECK(list.next(now)->chunk == 1);
    REQUIRE(list.next_retry());
    CHECK(*list.next_retry() > now);
    now = *list.next_retry();
    // Before the next part, because it is needed sooner.
    auto again = *list.next(now);
    CHECK(again.chunk == 0);
    CHECK(again.attempts == 1);
    CHECK(list.next(now)->chunk == 5);
    Time::duration waited{};
    for (unsigned attempt = 1; attempt + 1 < WorkList::kAttempts; ++attempt) {
        list.failed(again, now);
        REQUIRE(list.next_retry());
        CHECK(*list.next_retry() - now > waited);
        waited = *list.next_retry() - now;
        now = *list.next_retry();
        again = *list.next(now);
        CHECK(again.chunk == 0);
    }
    list.failed(again, now);
    CHECK_FALSE(list.next_retry());
    CHECK(list.failed_chunks(0).runs() == std::vector<ChunkRun>{{0, 1}});
    CHECK(list.read_chunks(0) == 0);
}

TEST_CASE("the end of a device that became smaller is not read") {
    WorkList list({part({{10, 4}, {20, 2}}), part({{2, 1}, {12, 1}}), part({{30, 1}}, 1)});
    CHECK(list.next(kStart)->chunk == 10);
    const auto in_flight = *list.next(kStart);
    CHECK(in_flight.chunk == 11);
    list.drop(0, 12);
    list.give_up(in_flight);
    CHECK(list.failed_chunks(0).runs() == std::vector<ChunkRun>{{11, 3}, {20, 2}});
    CHECK(list.failed_chunks(1).runs() == std::vector<ChunkRun>{{12, 1}});
    CHECK(take_all(list) == Numbered{2, 30});
    CHECK(list.is_part_over(1));
}

PartWork ranked(v1::HydrationRank rank, std::initializer_list<ChunkRun> runs) {
    PartWork made = part(runs);
    made.rank = rank;
    return made;
}

TEST_CASE("what is promoted comes next, behind the metadata") {
    WorkList list({ranked(v1::METADATA, {{0, 2}}), ranked(v1::TRACED, {{10, 2}}),
                   ranked(v1::IMAGES, {{20, 2}}), ranked(v1::IMAGES, {{30, 2}}),
                   ranked(v1::IMAGES, {{40, 2}}), ranked(v1::IMAGES, {})});
    CHECK(list.next(kStart)->chunk == 0);
    // The metadata is where it is, and what is over nowhere.
    list.promote({3, 0, 5});
    CHECK(list.is_promoted(3));
    CHECK_FALSE(list.is_promoted(0));
    CHECK_FALSE(list.is_promoted(5));
    CHECK(list.next(kStart)->chunk == 1);
    CHECK(list.next(kStart)->chunk == 30);
    list.promote({4, 2});
    CHECK(take_all(list) == Numbered{40, 41, 20, 21, 31, 10, 11});
    CHECK(list.done_without_gap(0) == 0);
    CHECK(list.done_without_gap(3) == 0);
    CHECK(list.done_without_gap(4) == 2);
    list.promote({4});
    CHECK_FALSE(list.next(kStart));
}

TEST_CASE("what has failed comes again in the new order") {
    WorkList list({ranked(v1::IMAGES, {{10, 1}}), ranked(v1::IMAGES, {{20, 2}}),
                   ranked(v1::IMAGES, {{30, 2}})});
    const auto first = *list.next(kStart);
    list.failed(first, kStart);
    list.promote({2, 1});
    // It is not yet time; and then it comes behind what is before its part now.
    CHECK(list.next(kStart)->chunk == 30);
    CHECK(take_all(list, *list.next_retry()) == Numbered{31, 20, 21, 10});
}

TEST_CASE("a chunk that is put back comes again behind its part") {
    PartWork resumed = ranked(v1::IMAGES, {{20, 3}});
    resumed.done = 1;
    resumed.failed = chunks({{20, 1}});
    WorkList list({ranked(v1::IMAGES, {{10, 3}}), resumed, ranked(v1::BOOT, {{30, 1}})});
    list.put_back(*list.next(kStart));
    CHECK(list.done_without_gap(0) == 0);
    list.promote({1});
    CHECK(take_all(list) == Numbered{21, 22, 20, 11, 12, 10, 30});
    CHECK(list.is_over());
    CHECK(list.read_chunks(0) == 3);
}

TEST_CASE("nothing is lost in any order of events") {
    std::mt19937 random(5);
    const auto below = [&](unsigned end) {
        return std::uniform_int_distribution<unsigned>(0, end - 1)(random);
    };
    for (int round = 0; round < 100; ++round) {
        CAPTURE(round);
        WorkList list({part({{0, 5}, {8, 3}}), ranked(v1::IMAGES, {{6, 2}, {20, 4}}),
                       ranked(v1::IMAGES, {{24, 6}})});
        std::vector<ChunkWork> flying;
        std::vector<int> read(40, 0);
        Time now = kStart;
        while (!list.is_over()) {
            now += 50ms;
            if (below(8) == 0) list.promote({below(3), below(3)});
            if (below(2) == 0 || flying.empty()) {
                if (const auto work = list.next(now)) flying.push_back(*work);
                continue;
            }
            const auto which = flying.begin() + below(static_cast<unsigned>(flying.size()));
            if (below(8) == 0) {
                list.put_back(*which);
            } else if (below(4) == 0) {
                list.failed(*which, now);
            } else {
                ++read[which->chunk];
                list.done(*which);
            }
            flying.erase(which);
        }
        std::uint64_t failed = 0;
        for (std::size_t i = 0; i < 3; ++i) {
            failed += list.failed_chunks(i).count();
            CHECK(list.read_chunks(i) + list.failed_chunks(i).count() == list.total_chunks(i));
            CHECK(list.done_without_gap(i) == list.total_chunks(i));
        }
        std::uint64_t sum = 0;
        for (const int times : read) {
            CHECK(times <= 1);
            sum += static_cast<std::uint64_t>(times);
        }
        CHECK(sum + failed == 20);
    }
}

/// The order of fresh chunks, found the long way.
class Model {
  public:
    explicit Model(std::vector<Numbered> parts) : parts_(std::move(parts)) {
        for (std::size_t i = 0; i < parts_.size(); ++i) order_.push_back(i);
    }
    void promote(std::size_t part) {
        if (part == 0 || parts_[part].empty()) return;  // 0: the metadata
        std::erase(order_, part);
        order_.insert(order_.begin() + 1, part);
    }
    std::optional<std::uint64_t> next() {
        for (const std::size_t part : order_) {
            if (parts_[part].empty()) continue;
            const std::uint64_t chunk = parts_[part].front();
            parts_[part].erase(parts_[part].begin());
            return chunk;
        }
        return std::nullopt;
    }

  private:
    std::vector<Numbered> parts_;
    std::vector<std::size_t> order_;
};

TEST_CASE("promotions in any order are those of a simple model, and a later run goes on") {
    std::mt19937 random(7);
    const auto below = [&](unsigned end) {
        return std::uniform_int_distribution<unsigned>(0, end - 1)(random);
    };
    const std::vector<PartWork> parts{
        ranked(v1::METADATA, {{0, 4}}), ranked(v1::TRACED, {{10, 3}, {20, 2}}),
        ranked(v1::IMAGES, {{30, 6}}), ranked(v1::IMAGES, {{40, 2}, {50, 3}})};
    for (int round = 0; round < 200; ++round) {
        CAPTURE(round);
        Model model(
            {{0, 1, 2, 3}, {10, 11, 12, 20, 21}, {30, 31, 32, 33, 34, 35}, {40, 41, 50, 51, 52}});
        WorkList list(parts);
        const unsigned steps = below(24);
        for (unsigned step = 0; step < steps; ++step) {
            if (below(4) == 0) {
                const unsigned part = below(4);
                model.promote(part);
                list.promote({part});
            }
            const auto work = list.next(kStart);
            const auto wanted = model.next();
            REQUIRE(work.has_value() == wanted.has_value());
            if (!work) continue;
            CHECK(work->chunk == *wanted);
            list.done(*work);
        }
        std::vector<PartWork> later = parts;
        std::uint64_t done = 0;
        for (std::size_t i = 0; i < later.size(); ++i) {
            later[i].done = list.done_without_gap(i);
            CHECK(later[i].done == list.read_chunks(i));
            done += later[i].done;
        }
        WorkList resumed(later);
        CHECK(take_all(resumed).size() == 20 - done);
        CHECK(resumed.is_over());
    }
}

}  // namespace work_list_test

}  // namespace prebake::hydrate
