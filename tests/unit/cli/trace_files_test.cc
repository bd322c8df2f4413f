#include "agent/cli/trace_files.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/base/file.h"
#include "agent/hydrate/trace.h"
#include "agent/hydrate/trace_check.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::cli {

namespace trace_files_test {

std::string diff_id(char digit) {
    return "sha256:" + std::string(64, digit);
}

void add_image(v1::BakeRecord& record, const std::string& name, const std::string& digits) {
    v1::BakedImage& image = *record.add_images();
    image.set_name(name);
    for (const char digit : digits) image.add_layers()->set_diff_id(diff_id(digit));
}

/// A recording of one file in each of the layers.
hydrate::NamedTrace recording_of(const std::string& digits, const std::string& path) {
    hydrate::NamedTrace trace{.origin = path, .trace = {}};
    trace.trace.set_schema(hydrate::kTraceSchema);
    for (const char digit : digits) {
        v1::TracedLayer& layer = *trace.trace.add_layers();
        layer.set_diff_id(diff_id(digit));
        v1::TracedFile& file = *layer.add_files();
        file.set_path(path);
        file.add_ranges(0);
        file.add_ranges(4096);
        file.set_recordings(1);
    }
    return trace;
}

/// "a:path b:path", by the digit of each layer.
std::string kept_in(const std::filesystem::path& state) {
    std::string text;
    const v1::ReadTrace trace = hydrate::read_traces(state);
    for (const v1::TracedLayer& layer : trace.layers()) {
        for (const v1::TracedFile& file : layer.files()) {
            text += (text.empty() ? "" : " ") + layer.diff_id().substr(7, 1) + ":" + file.path();
        }
    }
    return text;
}

TEST_CASE("a bake keeps the traces of images that it is not about") {
    const TemporaryDirectory state;
    v1::BakeRecord record;
    add_image(record, "one", "ab");
    CHECK(keep_traces(state.path(), {recording_of("abf", "first")}, record, {"one"}).empty());
    CHECK(kept_in(state.path()) == "a:first b:first");

    add_image(record, "two", "bc");
    keep_traces(state.path(), {recording_of("c", "second")}, record, {"two"});
    CHECK(kept_in(state.path()) == "a:first c:second");

    // What is given of them counts, and is not added up.
    keep_traces(state.path(), {recording_of("ac", "third")}, record, {"two"});
    CHECK(kept_in(state.path()) == "a:third c:third");

    keep_traces(state.path(), {}, record, {"one"});
    CHECK(kept_in(state.path()) == "c:third");

    record.mutable_images()->RemoveLast();
    keep_traces(state.path(), {}, record, {});
    CHECK_FALSE(std::filesystem::exists(hydrate::traces_path(state.path())));
}

TEST_CASE("traces that were damaged are replaced, and the loss is reported") {
    const TemporaryDirectory state;
    v1::BakeRecord record;
    add_image(record, "one", "a");
    add_image(record, "two", "b");
    write_file_durably(hydrate::traces_path(state.path()), "{", 0644);
    const auto said = keep_traces(state.path(), {recording_of("b", "file")}, record, {"two"});
    REQUIRE(said.size() == 1);
    CHECK(said[0].starts_with("traces of earlier bakes are not kept: "));
    CHECK(kept_in(state.path()) == "b:file");
}

}  // namespace trace_files_test
}  // namespace prebake::cli
