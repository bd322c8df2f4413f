#include "agent/hydrate/probe.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

namespace prebake::hydrate {

namespace probe_test {

ProbedChunk chunk(double first, std::optional<double> again = {}, std::optional<double> middle = {},
                  std::optional<double> end = {}) {
    const auto milliseconds = [](std::optional<double> time) {
        return time ? std::optional<Seconds>(*time / 1000) : std::nullopt;
    };
    return {.chunk = 0,
            .first = milliseconds(first),
            .again = milliseconds(again),
            .middle = milliseconds(middle),
            .end = milliseconds(end)};
}

std::vector<ProbedChunk> times(std::size_t count, const ProbedChunk& one) {
    return std::vector<ProbedChunk>(count, one);
}

std::vector<ProbedChunk> both(std::vector<ProbedChunk> one, const std::vector<ProbedChunk>& other) {
    one.insert(one.end(), other.begin(), other.end());
    return one;
}

Disk disk(DiskKind kind, bool is_rotational = false) {
    Disk made{.name = "disk"};
    made.kind = kind;
    made.is_rotational = is_rotational;
    return made;
}

TEST_CASE("what the reads of a probe mean") {
    struct Row {
        const char* name;
        std::vector<ProbedChunk> chunks;
        Disk disk;
        bool is_lazy;  ///< with mode auto
        Touch touch;
    };
    const ProbedChunk warm = chunk(0.6);
    const ProbedChunk whole = chunk(35, 0.7, 0.7, 0.8);
    const ProbedChunk partly = chunk(35, 0.7, 34, 36);
    const Row rows[] = {
        {"EBS, cold, whole chunks", times(16, whole), disk(DiskKind::ebs), true, Touch::works},
        {"EBS, cold, small reads", times(16, partly), disk(DiskKind::ebs), true, Touch::fails},
        {"EBS, warm", times(16, warm), disk(DiskKind::ebs), false, Touch::unknown},
        {"EBS, one chunk is cold", both(times(15, warm), times(1, whole)), disk(DiskKind::ebs),
         true, Touch::unknown},
        {"EBS, not confirmed yet", times(16, chunk(35)), disk(DiskKind::ebs), true, Touch::unknown},
        {"Google, cold", times(16, whole), disk(DiskKind::gce, true), true, Touch::works},
        {"Azure, cold, called rotating", times(16, partly), disk(DiskKind::azure, true), true,
         Touch::fails},
        {"instance store, slow", times(16, whole), disk(DiskKind::instance_store), false,
         Touch::works},
        {"unknown, cold", times(16, whole), disk(DiskKind::other), true, Touch::works},
        {"unknown, half is cold", both(times(8, warm), times(8, partly)), disk(DiskKind::other),
         true, Touch::fails},
        {"unknown, cold, some noise", both(times(12, whole), times(4, chunk(35, 30, 20, 40))),
         disk(DiskKind::other), true, Touch::works},
        {"unknown, slow each time", times(16, chunk(35, 33, 34, 36)), disk(DiskKind::other), false,
         Touch::fails},
        {"unknown, slow once", both(times(15, warm), times(1, whole)), disk(DiskKind::other), false,
         Touch::unknown},
        {"unknown, only one left, cold", times(1, whole), disk(DiskKind::other), true,
         Touch::unknown},
        {"rotating", times(16, chunk(12, 3, 12, 12)), disk(DiskKind::other, true), false,
         Touch::fails},
        {"nothing answers", {}, disk(DiskKind::ebs), false, Touch::unknown},
        {"errors only", times(16, {}), disk(DiskKind::ebs), false, Touch::unknown},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const ProbeVerdict verdict = judge_probe(row.chunks);
        CHECK(verdict.touch == row.touch);
        const LazyDecision decision = decide_lazy(HydrateMode::automatic, row.disk, verdict);
        CAPTURE(decision.why);
        CHECK(decision.is_lazy == row.is_lazy);
        CHECK(decision.is_read == row.is_lazy);
        CHECK_FALSE(decision.why.empty());
        CHECK(decide_lazy(HydrateMode::on, row.disk, verdict).is_read);
        CHECK_FALSE(decide_lazy(HydrateMode::off, row.disk, verdict).is_read);
    }
}

TEST_CASE("the latency of a cold read is that of one which does not wait for others") {
    std::vector<ProbedChunk> chunks;
    for (int i = 0; i < 16; ++i) chunks.push_back(chunk(35 + 4 * i, 1, 1, 1));
    CHECK(judge_probe(chunks).cold_read.count() == doctest::Approx(0.039));
}

TEST_CASE("the first chunks are probed, and others all over the plan") {
    std::vector<ChunkSet> parts(3);
    parts[0].add({100, 4});
    parts[1].add({0, 50});
    parts[2].add({200, 1000});
    const auto [chosen, ahead] = chunks_to_probe(parts);
    CHECK(ahead.size() == kTouchedAhead);
    CHECK(ahead.front() == 2);
    CHECK(ahead.back() == 9);
    CHECK(chosen.size() == kProbedChunks);
    CHECK(std::vector(chosen.begin(), chosen.begin() + 6) ==
          std::vector<std::uint64_t>{100, 101, 102, 103, 0, 1});
    CHECK(std::ranges::count_if(chosen, [](auto each) { return each >= 700; }) >= 3);
    CHECK(chosen.back() < 1200);
    parts = {ChunkSet(), parts[0]};
    CHECK(chunks_to_probe(parts).probed == std::vector<std::uint64_t>{100, 101, 102, 103});
    CHECK(chunks_to_probe(parts).ahead.empty());
    CHECK(chunks_to_probe({}).probed.empty());
    CHECK(chunks_to_probe(parts, 3).probed.size() == 3);
    CHECK(chunks_to_probe(parts, 2).ahead == std::vector<std::uint64_t>{101, 102, 103});
}

}  // namespace probe_test

}  // namespace prebake::hydrate
