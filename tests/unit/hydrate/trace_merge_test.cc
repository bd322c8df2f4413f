#include "agent/hydrate/trace_merge.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace prebake::hydrate {

namespace trace_merge_test {

using Runs = std::vector<ChunkRun>;

constexpr std::uint64_t kMiB = 1 << 20;

struct Read {
    std::string layer;
    std::string path;
    double seconds;
    Runs ranges;
};

/// One recording of an image of the layers.
NamedTrace recording(const std::string& origin, const std::vector<std::string>& layers,
                     const std::vector<Read>& reads) {
    NamedTrace named{.origin = origin, .trace = {}};
    v1::TracedImage& image = *named.trace.add_images();
    image.set_name("image:" + layers.back());
    image.set_recordings(1);
    image.set_seconds(10);
    image.mutable_recorded_at()->set_seconds(static_cast<std::int64_t>(origin.size()));
    for (const std::string& layer : layers) {
        image.add_diff_ids(layer);
        v1::TracedLayer& traced = *named.trace.add_layers();
        traced.set_diff_id(layer);
        for (const Read& read : reads) {
            if (read.layer != layer) continue;
            v1::TracedFile& file = *traced.add_files();
            file.set_path(read.path);
            file.set_recordings(1);
            file.set_seconds(read.seconds);
            FileRanges ranges;
            for (const ChunkRun& run : read.ranges) ranges.add(run);
            set_ranges(ranges, file);
        }
    }
    return named;
}

TEST_CASE("recordings add up by layer and path") {
    const MergedTrace merged = merge_traces({
        recording("first", {"base", "app"},
                  {{"base", "lib/c.so", 0.5, {{0, 8192}}}, {"app", "main", 1, {{0, 4096}}}}),
        recording(
            "second", {"base", "other"},
            {{"base", "lib/c.so", 0.25, {{4096, 8192}}}, {"base", "lib/d.so", 3, {{0, 4096}}}}),
    });
    CHECK(merged.dropped.empty());
    CHECK(merged.trace.images_size() == 2);
    REQUIRE(merged.trace.layers_size() == 2);  // nothing was read of "other"
    CHECK(merged.trace.layers(0).diff_id() == "app");
    const v1::TracedLayer& base = merged.trace.layers(1);
    REQUIRE(base.files_size() == 2);
    CHECK(base.files(0).path() == "lib/c.so");
    CHECK(base.files(0).recordings() == 2);
    CHECK(base.files(0).seconds() == 0.25);
    CHECK(ranges_of(base.files(0)).runs() == Runs{{0, 12288}});
    CHECK(base.files(1).recordings() == 1);
    CHECK(is_hotter(base.files(0), base.files(1)));
    CHECK_FALSE(is_hotter(base.files(1), base.files(0)));
}

TEST_CASE("recordings of one image are one image") {
    const MergedTrace merged =
        merge_traces({recording("a", {"l"}, {}), recording("bb", {"l"}, {})});
    REQUIRE(merged.trace.images_size() == 1);
    CHECK(merged.trace.images(0).recordings() == 2);
    CHECK(merged.trace.images(0).recorded_at().seconds() == 2);
}

TEST_CASE("of three recordings, one that has little in common with the others is dropped") {
    const Runs usual{{0, 100 * kMiB}};
    const Runs less{{0, 60 * kMiB}};
    const Runs more{{0, 200 * kMiB}};
    const Runs elsewhere{{300 * kMiB, 100 * kMiB}};
    struct Row {
        const char* name;
        std::vector<Runs> recordings;
        std::vector<std::string> dropped;
    };
    const std::vector<Row> rows{
        {"two that differ", {usual, elsewhere}, {}},
        {"three that agree", {usual, usual, usual}, {}},
        {"three of different lengths", {usual, less, more}, {}},
        {"one elsewhere", {usual, elsewhere, less}, {"1"}},
        {"one that read nothing", {usual, usual, {}}, {"2"}},
        {"three that read nothing", {{}, {}, {}}, {}},
        {"two elsewhere, of five", {usual, elsewhere, usual, usual, {}}, {"1", "4"}},
        {"nobody agrees", {usual, elsewhere, {{500 * kMiB, kMiB}}}, {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::vector<NamedTrace> traces;
        FileRanges expected;
        for (std::size_t i = 0; i < row.recordings.size(); ++i) {
            const std::string origin = std::to_string(i);
            traces.push_back(recording(origin, {"l"}, {{"l", "model", 1, row.recordings[i]}}));
            if (std::ranges::find(row.dropped, origin) != row.dropped.end()) continue;
            for (const ChunkRun& run : row.recordings[i]) expected.add(run);
        }
        const MergedTrace merged = merge_traces(traces);
        REQUIRE(merged.dropped.size() == row.dropped.size());
        for (std::size_t i = 0; i < row.dropped.size(); ++i) {
            CHECK(merged.dropped[i].starts_with(row.dropped[i] + ": its recording of image:l has"));
        }
        const bool is_empty = merged.trace.layers().empty();
        CHECK(is_empty == expected.empty());
        if (!is_empty) {
            CHECK(ranges_of(merged.trace.layers(0).files(0)).runs() == expected.runs());
        }
    }
}

TEST_CASE("what an outlier says about other images counts") {
    const std::vector<Read> usual{{"app", "x", 1, {{0, 10 * kMiB}}}};
    NamedTrace odd = recording("odd", {"base", "app"},
                               {{"app", "y", 1, {{0, 10 * kMiB}}}, {"base", "z", 1, {{0, kMiB}}}});
    v1::TracedImage& other = *odd.trace.add_images();
    other.set_name("image:other");
    other.add_diff_ids("base");
    const MergedTrace merged = merge_traces(
        {recording("1", {"base", "app"}, usual), recording("2", {"base", "app"}, usual), odd});
    REQUIRE(merged.dropped.size() == 1);
    REQUIRE(merged.trace.layers_size() == 2);
    CHECK(merged.trace.layers(0).files_size() == 1);  // of app: x, not y
    CHECK(merged.trace.layers(1).files(0).path() == "z");
    CHECK(merged.trace.images_size() == 2);
}

}  // namespace trace_merge_test

}  // namespace prebake::hydrate
