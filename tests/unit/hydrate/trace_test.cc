#include "agent/hydrate/trace.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/hydrate/trace_check.h"
#include "agent/hydrate/traced_file.h"
#include "agent/layer/zstd_text.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace trace_test {

using Runs = std::vector<ChunkRun>;

std::string diff_id(char digit) {
    return "sha256:" + std::string(64, digit);
}

/// One image of two layers, a file in each, and a volume.
v1::ReadTrace small_trace() {
    v1::ReadTrace trace;
    trace.set_schema("prebake.v1.ReadTrace");
    v1::TracedImage& image = *trace.add_images();
    image.set_name("docker.io/library/a:1");
    image.add_diff_ids(diff_id('a'));
    image.add_diff_ids(diff_id('b'));
    image.set_recordings(1);
    image.set_seconds(2.5);
    for (const char digit : {'a', 'b'}) {
        v1::TracedLayer& layer = *trace.add_layers();
        layer.set_diff_id(diff_id(digit));
        v1::TracedFile& file = *layer.add_files();
        file.set_path(std::string("bin/") + digit);
        file.set_recordings(1);
        file.set_seconds(1);
        FileRanges ranges;
        ranges.add(ChunkRun{.first = 0, .count = 8192});
        ranges.add(ChunkRun{.first = 1 << 20, .count = 4096});
        set_ranges(ranges, file);
    }
    v1::TracedVolume& volume = *trace.add_volumes();
    volume.set_uuid("u-1");
    ChunkSet chunks;
    chunks.add(ChunkRun{.first = 3, .count = 2});
    set_chunks(chunks, volume);
    return trace;
}

/// "code: message" of the refusal; empty if it is accepted.
std::string refusal(const std::string& text) {
    try {
        parse_trace(text, "t.json");
        return "";
    } catch (const Error& error) {
        return std::string(to_string(error.code())) + ": " + error.message();
    }
}

TEST_CASE("a trace is the same after writing and reading, in both forms") {
    const v1::ReadTrace trace = small_trace();
    CHECK(parse_trace(trace_json(trace), "t").SerializeAsString() == trace.SerializeAsString());
    const std::string text = trace_text(trace, 10'000);
    CHECK(text.starts_with("prebake-trace:v1\n"));
    CHECK(parse_trace(text, "t").SerializeAsString() == trace.SerializeAsString());
    // As it comes out of a terminal or a JSON document.
    std::string pasted = "\n  " + text + "\r\n\n";
    CHECK(parse_trace(pasted, "t").SerializeAsString() == trace.SerializeAsString());
    CHECK(traced_bytes(trace) == 2 * (8192 + 4096));
}

TEST_CASE("what no machine can have is refused, with its place") {
    struct Row {
        const char* name;
        std::function<void(v1::ReadTrace&)> change;
        std::string refusal;  // its beginning; empty: accepted
    };
    const auto path = [](std::string text) {
        return [text = std::move(text)](v1::ReadTrace& trace) {
            trace.mutable_layers(0)->mutable_files(0)->set_path(text);
        };
    };
    const auto ranges = [](std::vector<std::uint64_t> numbers) {
        return [numbers = std::move(numbers)](v1::ReadTrace& trace) {
            auto& file = *trace.mutable_layers(0)->mutable_files(0);
            file.mutable_ranges()->Assign(numbers.begin(), numbers.end());
        };
    };
    const std::string in_a = "corrupt: t.json: layer " + diff_id('a') + ": ";
    const std::vector<Row> rows{
        {"as it is", [](v1::ReadTrace&) {}, ""},
        {"an absolute path", path("/etc/shadow"), in_a + "the path \"/etc/shadow\" is absolute"},
        {"a path that leaves", path("a/../../etc"), in_a + "the path \"a/../../etc\" has \"..\""},
        {"only ..", path(".."), in_a + "the path \"..\" has"},
        {"dots in a name", path("a/..b/c..."), ""},
        {"an empty path", path(""), in_a + "the path \"\" is empty"},
        {"an empty part", path("a//b"), in_a + "the path \"a//b\" has an empty part"},
        {"a slash at the end", path("a/"), in_a},
        {"a NUL", path(std::string("a\0b", 3)), in_a},
        {"a long path", path(std::string(4096, 'x')), in_a},
        {"a range without a length", ranges({4096}), in_a + "\"bin/a\": a run of chunks has no"},
        {"an empty range", ranges({0, 0}), in_a + "\"bin/a\": a run"},
        {"a range between pages", ranges({1, 4096}), in_a + "a range of \"bin/a\" is not a mul"},
        {"a range beyond any file", ranges({1ULL << 60, 4096}), in_a + "\"bin/a\": a run"},
        {"a range that overflows", ranges({4096, ~0ULL - 4095}), in_a + "\"bin/a\": a run"},
        {"no ranges", ranges({}), ""},
        {"a diffID that is none",
         [](v1::ReadTrace& trace) { trace.mutable_layers(1)->set_diff_id("sha256:x"); },
         "corrupt: t.json: \"sha256:x\" is not the diffID of a layer"},
        {"seconds that are no number",
         [](v1::ReadTrace& trace) { trace.mutable_layers(1)->mutable_files(0)->set_seconds(-1); },
         "corrupt: t.json: layer " + diff_id('b') + ": the seconds"},
        {"the year 10000",
         [](v1::ReadTrace& trace) {
             trace.mutable_images(0)->mutable_recorded_at()->set_seconds(253'402'300'800);
         },
         "corrupt: t.json: an image was recorded"},
        {"chunks of another size",
         [](v1::ReadTrace& trace) { trace.mutable_volumes(0)->set_chunk_bytes(4096); },
         "corrupt: t.json: the chunks of a volume"},
        {"a volume without a UUID",
         [](v1::ReadTrace& trace) { trace.mutable_volumes(0)->clear_uuid(); },
         "corrupt: t.json: a volume has no UUID"},
        {"a volume of zebibytes",
         [](v1::ReadTrace& trace) { trace.mutable_volumes(0)->add_runs(1ULL << 62); },
         "corrupt: t.json: volume u-1: a run"},
        {"a later version", [](v1::ReadTrace& trace) { trace.set_schema("prebake.v2.ReadTrace"); },
         "unsupported: "},
        {"another document", [](v1::ReadTrace& trace) { trace.set_schema("prebake.v1.Ledger"); },
         "corrupt: t.json is not a trace"},
        {"a million ranges",
         [](v1::ReadTrace& trace) {
             auto& file = *trace.mutable_layers(0)->mutable_files(0);
             file.mutable_ranges()->Resize(2'000'000, 4096);
         },
         "too_large: t.json: layer " + diff_id('a') + ": a trace has at most 500000 ranges"},
        {"too many files",
         [](v1::ReadTrace& trace) {
             for (int i = 0; i < 200'000; ++i) trace.mutable_layers(0)->add_files()->set_path("x");
         },
         "too_large: t.json: a trace has at most 200000 files"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        v1::ReadTrace trace = small_trace();
        row.change(trace);
        // Binary, so that no row is refused as JSON.
        const std::string text =
            "prebake-trace:v1\n" + base64_encode(layer::zstd_compressed(trace.SerializeAsString()));
        const std::string found = refusal(text);
        CAPTURE(found);
        if (row.refusal.empty()) {
            CHECK(found.empty());
        } else {
            CHECK(found.starts_with(row.refusal));
        }
    }
}

TEST_CASE("what is no trace at all is refused") {
    const std::string bomb = layer::zstd_compressed(std::string(20UL << 20, 'x'));
    const std::vector<std::pair<std::string, const char*>> rows{
        {"", "corrupt: "},
        {"{", "corrupt: "},
        {"{}", "corrupt: t.json is not a trace"},
        {"[]", "corrupt: "},
        {"prebake-trace:v1", "corrupt: "},
        {"prebake-trace:v1\n!!!!", "corrupt: t.json: it is not base64"},
        {"prebake-trace:v1\nAAAA", "corrupt: t.json: it is not a zstd frame"},
        {"prebake-trace:v1\n" + base64_encode(layer::zstd_compressed("xyz")), "corrupt: t.json"},
        {"prebake-trace:v1\n" + base64_encode(bomb), "too_large: t.json: it has more"},
        {std::string(17UL << 20, ' '), "too_large: t.json is larger"},
    };
    for (const auto& [text, expected] : rows) {
        const std::string shown = text.substr(0, 40);
        CAPTURE(shown);
        const std::string found = refusal(text);
        CAPTURE(found);
        CHECK(found.starts_with(expected));
    }
}

TEST_CASE("layers, files and volumes that come twice are there once") {
    v1::ReadTrace trace = small_trace();
    v1::TracedLayer twice = trace.layers(0);
    FileRanges more;
    more.add(ChunkRun{.first = 4096, .count = 8192});
    set_ranges(more, *twice.mutable_files(0));
    *trace.add_layers() = twice;
    *trace.add_volumes() = trace.volumes(0);
    const v1::ReadTrace read = parse_trace(trace_json(trace), "t");
    REQUIRE(read.layers_size() == 2);
    REQUIRE(read.layers(0).files_size() == 1);
    CHECK(ranges_of(read.layers(0).files(0)).runs() == Runs{{0, 12288}, {1 << 20, 4096}});
    CHECK(read.volumes_size() == 1);
}

TEST_CASE("the text form keeps the files that count most") {
    v1::ReadTrace trace = small_trace();
    trace.mutable_layers(0)->clear_files();
    constexpr unsigned kFiles = 5000;
    for (unsigned i = 0; i < kFiles; ++i) {
        v1::TracedFile& file = *trace.mutable_layers(0)->add_files();
        file.set_path("usr/lib/" + std::to_string(i * 2654435761U) + ".so");
        file.set_recordings(1 + i % 2);
        file.set_seconds(i);
        FileRanges ranges;
        ranges.add(ChunkRun{.first = 0, .count = 4096});
        set_ranges(ranges, file);
    }
    const std::string text = trace_text(trace, 23'000);
    CHECK(text.size() <= 23'000);
    CHECK(text.size() > 20'000);
    const v1::ReadTrace read = parse_trace(text, "t");
    std::uint32_t left = 0;
    for (const v1::TracedLayer& layer : read.layers()) {
        left += static_cast<std::uint32_t>(layer.files_size());
        for (const v1::TracedFile& file : layer.files()) {
            if (layer.diff_id() == diff_id('a')) CHECK(file.recordings() == 2);
        }
    }
    CHECK(left > 500);
    CHECK(read.omitted_files() == kFiles + 1 - left);
    CHECK(read.images_size() == 1);
    CHECK(read.volumes_size() == 1);
}

TEST_CASE("a volume with too many runs gets larger ones") {
    v1::ReadTrace trace = small_trace();
    ChunkSet chunks;
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i < 60'000; ++i) {
        at += 2 + i * i % 97;
        chunks.add(ChunkRun{.first = at, .count = 1});
    }
    set_chunks(chunks, *trace.mutable_volumes(0));
    const std::string text = trace_text(trace, 23'000);
    CHECK(text.size() <= 23'000);
    ChunkSet missing = chunks;
    missing.subtract(chunks_of(parse_trace(text, "t").volumes(0)));
    CHECK(missing.empty());
    CHECK_THROWS_AS(trace_text(trace, 50), Error);
}

TEST_CASE("what is written is within the limits of what is read") {
    v1::ReadTrace trace = small_trace();
    trace.mutable_layers(0)->clear_files();
    FileRanges many;
    for (std::uint64_t i = 0; i < 100; ++i) many.add(ChunkRun{i * i * 8192, 4096});
    for (unsigned i = 0; i < 6000; ++i) {
        v1::TracedFile& file = *trace.mutable_layers(0)->add_files();
        file.set_path("usr/share/" + std::to_string(i));
        file.set_recordings(1);
        set_ranges(many, file);
    }
    const v1::ReadTrace fewer_ranges = parse_trace(trace_json(trace), "t");
    CHECK(fewer_ranges.layers(0).files_size() == 6000);
    CHECK(fewer_ranges.omitted_files() == 0);
    for (unsigned i = 6000; i < 210'000; ++i) {
        v1::TracedFile& file = *trace.mutable_layers(0)->add_files();
        file.set_path("usr/share/with/a/long/name/" + std::to_string(i));
        file.set_recordings(1);
        file.set_seconds(i);
        file.add_ranges(0);
        file.add_ranges(4096);
    }
    const v1::ReadTrace fewer_files = parse_trace(trace_json(trace), "t");
    CHECK(fewer_files.omitted_files() > 10'000);
    CHECK(fewer_files.layers(0).files(0).path() == "usr/share/0");
}

TEST_CASE("only what belongs to this machine is kept") {
    const v1::ReadTrace trace = small_trace();
    const v1::ReadTrace part = only_about(trace, {diff_id('b')}, {"u-2"});
    REQUIRE(part.layers_size() == 1);
    CHECK(part.layers(0).diff_id() == diff_id('b'));
    CHECK(part.images_size() == 1);
    CHECK(part.volumes_size() == 0);
    const v1::ReadTrace none = only_about(trace, {diff_id('c')}, {"u-1"});
    CHECK(none.layers_size() == 0);
    CHECK(none.images_size() == 0);
    CHECK(none.volumes_size() == 1);
}

TEST_CASE("traces of a machine without any are empty") {
    const TemporaryDirectory directory;
    CHECK(read_traces(directory.path()).layers_size() == 0);
    write_trace(traces_path(directory.path()), small_trace());
    CHECK(read_traces(directory.path()).layers_size() == 2);
}

}  // namespace trace_test

}  // namespace prebake::hydrate
