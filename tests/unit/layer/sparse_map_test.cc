#include "agent/layer/sparse_map.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/layer/tar_builder.h"

namespace prebake::layer {
namespace {

using tests::thrown_by;

SparseMap map_in_records(const std::string& count, const std::string& map) {
    return sparse_map_of({{"GNU.sparse.numblocks", count}, {"GNU.sparse.map", map}});
}

/// Reads blocks of `text`, which is padded.
SparseMap map_in_contents(const std::string& text) {
    const std::string blocks = tests::padded(text);
    std::size_t at = 0;
    return read_sparse_map([&] {
        if (at == blocks.size()) throw Error(Errc::corrupt, "the test's map ends");
        at += 512;
        return std::string_view(blocks).substr(at - 512, 512);
    });
}

TEST_CASE("maps in records") {
    CHECK(map_in_records("2", "0,5,10,0") == SparseMap{{0, 5}, {10, 0}});
    CHECK(map_in_records("0", "").empty());
    struct Row {
        const char* count;
        const char* map;
    };
    const Row bad[] = {
        {"1", ""},     {"", "0,5"},   {"2", "0,5"},
        {"1", "0,5,"}, {"1", "0,"},   {"1", "a,b"},
        {"-1", ""},    {"1", "0, 5"}, {"9223372036854775807", "0,5"},
    };
    for (const Row& row : bad) {
        CAPTURE(row.count);
        CAPTURE(row.map);
        CHECK(thrown_by([&] { map_in_records(row.count, row.map); }).code() == Errc::corrupt);
    }
}

TEST_CASE("maps in front of the contents") {
    CHECK(map_in_contents("1\n5\n6\n") == SparseMap{{5, 6}});
    CHECK(map_in_contents("0\n").empty());
    std::string long_map = "200\n";
    for (int i = 0; i < 200; ++i) long_map += std::to_string(i * 100) + "\n50\n";
    CHECK(map_in_contents(long_map).size() == 200);
    for (const char* map : {"", "1\n5\n", "x\n", "-1\n", "1\na\n5\n", " 1\n0\n5\n",
                            "4611686018427387904\n", "1000000000\n1\n"}) {
        CAPTURE(map);
        CHECK(thrown_by([&] { map_in_contents(map); }).code() == Errc::corrupt);
    }
    // Reading a map that has no end stops.
    const std::string block(512, '\n');
    CHECK(thrown_by([&] {
              const std::string first = "99999999" + std::string(504, '\n');
              bool is_first = true;
              read_sparse_map([&]() -> std::string_view {
                  const bool was_first = is_first;
                  is_first = false;
                  return was_first ? std::string_view(first) : std::string_view(block);
              });
          }).message() ==
          "the map of a sparse file in the tar is damaged: it is longer than 1 MiB");
}

TEST_CASE("maps of the old format") {
    const auto number = [](std::uint64_t n) { return tests::TarBlock::octal(n, 12); };
    std::string header(512, '\0');
    header.replace(386, 48, number(0) + number(5) + number(512) + number(7));
    const auto none = []() -> std::string_view { throw Error(Errc::corrupt, "no more blocks"); };
    CHECK(read_old_sparse_map(header, none) == SparseMap{{0, 5}, {512, 7}});

    header[482] = 1;
    CHECK(thrown_by([&] { read_old_sparse_map(header, none); }).message() == "no more blocks");
    std::string more(512, '\0');
    more.replace(0, 24, number(1024) + number(9));
    const auto one = [&]() -> std::string_view { return more; };
    CHECK(read_old_sparse_map(header, one) == SparseMap{{0, 5}, {512, 7}, {1024, 9}});

    more[504] = 1;
    CHECK(thrown_by([&] { read_old_sparse_map(header, one); }).code() == Errc::corrupt);
    header.replace(386, 12, "garbage     ");
    CHECK(thrown_by([&] { read_old_sparse_map(header, one); }).code() == Errc::corrupt);
}

TEST_CASE("which maps fit their file") {
    constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
    CHECK(is_valid({}, 0));
    CHECK(is_valid({{0, 5}, {5, 5}, {20, 0}}, 20));
    CHECK_FALSE(is_valid({}, -1));
    CHECK_FALSE(is_valid({{0, 5}}, 4));
    CHECK_FALSE(is_valid({{-1, 1}}, 4));
    CHECK_FALSE(is_valid({{1, -1}}, 4));
    CHECK_FALSE(is_valid({{0, 5}, {4, 1}}, 9));
    CHECK_FALSE(is_valid({{5, 1}, {0, 1}}, 9));
    CHECK_FALSE(is_valid({{kMax, 1}}, kMax));
    CHECK(data_size({{0, 5}, {100, 7}}) == 12);
}

}  // namespace
}  // namespace prebake::layer
