#include "agent/hydrate/file_places.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/base/file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::hydrate {

namespace file_places_test {

FileRanges first_page() {
    FileRanges ranges;
    ranges.add(ChunkRun{.first = 0, .count = kRangeUnit});
    return ranges;
}

/// Whether anything was found, also on a file system whose places are not known.
bool has_found(FilePlaces& places) {
    return !places.take().empty() || !places.unknown().empty();
}

TEST_CASE("a recorded file is found in its layer, and nowhere else") {
    const TemporaryDirectory directory;
    write_file_durably(directory / "elsewhere/file", std::string(8192, 'x'), 0644);
    write_file_durably(directory / "layer/dir/file", std::string(8192, 'x'), 0644);
    std::filesystem::create_symlink(directory / "elsewhere", directory / "layer/link");
    std::filesystem::create_symlink("../elsewhere/file", directory / "layer/file");
    const auto is_found = [&](const std::string& path) {
        FileSystems file_systems(Detail::places);
        FilePlaces places(file_systems);
        places.add_ranges(directory / "layer", path, first_page());
        CHECK(places.left_out().empty());
        return has_found(places);
    };
    CHECK(is_found("dir/file"));
    CHECK_FALSE(is_found("link/file"));
    CHECK_FALSE(is_found("file"));
    CHECK_FALSE(is_found("../elsewhere/file"));
    CHECK_FALSE(is_found("dir"));
    CHECK_FALSE(is_found("gone"));
}

TEST_CASE("what cannot be read is left out, and said") {
    const TemporaryDirectory directory;
    write_file_durably(directory / "tree/file", std::string(8192, 'x'), 0644);
    std::filesystem::create_symlink("loop", directory / "loop");
    FileSystems file_systems(Detail::places);
    FilePlaces places(file_systems);
    places.add_tree(directory / "gone/file");
    places.add_tree(directory / "tree/file/below");
    CHECK(places.left_out().empty());
    places.add_tree(directory / "loop/file");
    const std::string first = (directory / "loop/file").string();
    CHECK(places.left_out().starts_with("not in the plan: cannot read " + first));
    places.add_tree(directory / "loop/other");
    places.add_tree(directory / "loop/third");
    CHECK(places.left_out().ends_with(", and 2 other paths"));
    places.add_tree(directory / "tree");
    CHECK(has_found(places));
}

}  // namespace file_places_test
}  // namespace prebake::hydrate
