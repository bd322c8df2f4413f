#include "agent/guard/pin_budget.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

using prebake::guard::decide_pins;
using prebake::guard::DiskRoom;
using prebake::guard::PinCandidate;
using prebake::guard::PinLimits;

namespace {

using Used = std::chrono::system_clock::time_point;

/// An image with one part, which it does not share.
PinCandidate image(std::uint64_t bytes, std::uint64_t starts, int used = 0) {
    static int images = 0;
    return {.ns = "k8s.io",
            .name = "x",
            .parts = {{.id = "part " + std::to_string(++images), .bytes = bytes}},
            .starts = starts,
            .last_used = Used(std::chrono::seconds(used))};
}
/// The same, with a part that other images share.
PinCandidate sharing(const std::string& part, std::uint64_t part_bytes, PinCandidate candidate) {
    candidate.parts.push_back({.id = part, .bytes = part_bytes});
    return candidate;
}
PinCandidate unpinned(PinCandidate candidate) {
    candidate.is_pinned = false;
    return candidate;
}
PinCandidate sandbox(std::uint64_t bytes) {
    PinCandidate candidate = image(bytes, 0);
    candidate.is_sandbox = true;
    return candidate;
}

}  // namespace

TEST_CASE(
    "decide_pins() unpins the least used images first, and pins them again when there is room") {
    const PinLimits none;
    const PinLimits most_100{.max_pinned_bytes = 100};
    const PinLimits free_100{.min_free_bytes = 100};
    const PinLimits a_tenth{.min_free_ratio = 0.1};
    struct Row {
        const char* name;
        std::vector<PinCandidate> candidates;
        PinLimits limits;
        std::optional<DiskRoom> room;
        std::string expected;  // P pinned, - not
    };
    const std::vector<Row> rows{
        {"no images", {}, most_100, {}, ""},
        {"no limits", {image(500, 0), image(500, 9)}, none, DiskRoom{0, 1000}, "PP"},
        {"no limits: the pin comes back", {unpinned(image(5, 0))}, none, {}, "P"},
        {"exactly full", {image(60, 0), image(40, 1)}, most_100, {}, "PP"},
        {"the image without starts loses its pin",
         {image(60, 1), image(41, 0)},
         most_100,
         {},
         "P-"},
        {"of equal starts, the image that is unused longest loses its pin",
         {image(60, 3, 200), image(60, 3, 100)},
         most_100,
         {},
         "P-"},
        {"of equal use, the larger image loses its pin",
         {image(30, 0), image(90, 0)},
         most_100,
         {},
         "P-"},
        {"as many as necessary", {image(60, 2), image(60, 1), image(60, 0)}, most_100, {}, "P--"},
        {"all, if each is too large", {image(101, 5)}, most_100, {}, "-"},
        {"never the sandbox image", {sandbox(150), image(10, 9)}, most_100, {}, "P-"},
        {"a sandbox image without a pin gets one", {unpinned(sandbox(150))}, most_100, {}, "P"},
        {"free space above the floor", {image(60, 0)}, free_100, DiskRoom{100, 1000}, "P"},
        {"below the floor", {image(60, 1), image(60, 0)}, free_100, DiskRoom{99, 1000}, "P-"},
        {"unpinned images count as free",
         {image(60, 1), unpinned(image(60, 0))},
         free_100,
         DiskRoom{50, 1000},
         "P-"},
        {"the disk is not visible: no floor", {image(60, 0)}, free_100, {}, "P"},
        {"the floor is a ratio of the disk", {image(60, 0)}, a_tenth, DiskRoom{99, 1000}, "-"},
        {"the larger floor counts",
         {image(60, 0)},
         PinLimits{.min_free_bytes = 50, .min_free_ratio = 0.1},
         DiskRoom{99, 1000},
         "-"},
        {"at the floor: the pin does not come back",
         {unpinned(image(60, 0))},
         free_100,
         DiskRoom{100, 1000},
         "-"},
        {"a tenth above the floor: the pin comes back",
         {unpinned(image(60, 0))},
         free_100,
         DiskRoom{110, 1000},
         "P"},
        {"the most used image gets its pin back first",
         {unpinned(image(60, 1)), unpinned(image(60, 2))},
         most_100,
         {},
         "-P"},
        {"a shared part counts once",
         {sharing("base", 40, image(30, 0)), sharing("base", 40, image(30, 1))},
         most_100,
         {},
         "PP"},
        {"a shared part is not freed while another image pins it",
         {sharing("base", 50, image(20, 0)), sharing("base", 50, image(20, 1)),
          sharing("base", 50, image(20, 2))},
         PinLimits{.max_pinned_bytes = 80},
         {},
         "--P"},
        {"and does not count as free then",
         {sharing("base", 50, image(20, 0)), sharing("base", 50, image(20, 1))},
         free_100,
         DiskRoom{70, 1000},
         "--"},
        {"a pin that comes back adds only parts that no image pins",
         {sharing("base", 90, image(5, 0)), unpinned(sharing("base", 90, image(5, 1)))},
         most_100,
         {},
         "PP"},
        {"both limits apply",
         {image(60, 2), image(60, 1), image(60, 0)},
         PinLimits{.max_pinned_bytes = 130, .min_free_bytes = 100},
         DiskRoom{30, 1000},
         "P--"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::string decided;
        for (const bool is_pinned : decide_pins(row.candidates, row.limits, row.room)) {
            decided += is_pinned ? 'P' : '-';
        }
        CHECK(decided == row.expected);
    }
}

TEST_CASE("decide_pins() is stable: its own result is not changed by a second call") {
    const PinLimits limits{.max_pinned_bytes = 150, .min_free_bytes = 100};
    for (std::uint64_t free = 0; free <= 200; ++free) {
        CAPTURE(free);
        std::vector<PinCandidate> candidates{image(70, 3), image(60, 1), image(50, 2), sandbox(5)};
        const DiskRoom room{free, 1000};
        const std::vector<bool> once = decide_pins(candidates, limits, room);
        for (std::size_t i = 0; i < once.size(); ++i) candidates[i].is_pinned = once[i];
        CHECK(decide_pins(candidates, limits, room) == once);
    }
}

TEST_CASE("decide_pins() keeps the pinned bytes within the limit for any shared parts") {
    std::mt19937 random(1);
    const auto below = [&](unsigned bound) { return static_cast<std::uint64_t>(random() % bound); };
    const auto bytes_of_pinned = [](const std::vector<PinCandidate>& candidates) {
        std::map<std::string, std::uint64_t> parts;
        for (const PinCandidate& candidate : candidates) {
            if (!candidate.is_pinned) continue;
            for (const auto& part : candidate.parts) parts[part.id] = part.bytes;
        }
        std::uint64_t bytes = 0;
        for (const auto& [id, size] : parts) bytes += size;
        return bytes;
    };
    for (int round = 0; round < 500; ++round) {
        CAPTURE(round);
        std::vector<PinCandidate> candidates;
        for (int i = 0; i < 6; ++i) {
            PinCandidate candidate = image(below(50), below(4));
            for (unsigned base = 0; base < 3; ++base) {
                if (below(2) == 0) continue;
                candidate = sharing("base " + std::to_string(base), base * 40 + 20, candidate);
            }
            candidate.is_pinned = below(2) == 0;
            candidates.push_back(std::move(candidate));
        }
        const PinLimits limits{.max_pinned_bytes = 1 + below(300)};
        for (int pass = 0; pass < 2; ++pass) {
            const std::vector<bool> pins = decide_pins(candidates, limits, {});
            for (std::size_t i = 0; i < pins.size(); ++i) candidates[i].is_pinned = pins[i];
            CHECK(bytes_of_pinned(candidates) <= limits.max_pinned_bytes);
        }
    }
}
