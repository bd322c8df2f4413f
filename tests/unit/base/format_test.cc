#include "agent/base/format.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace prebake {
namespace {

TEST_CASE("bytes") {
    struct Row {
        std::uint64_t bytes;
        const char* text;
    };
    for (const Row& row :
         {Row{0, "0 B"}, Row{1023, "1023 B"}, Row{1024, "1.0 KiB"}, Row{1536, "1.5 KiB"},
          Row{1048575, "1.0 MiB"}, Row{222'298'112, "212.0 MiB"}, Row{1ULL << 40, "1.0 TiB"}}) {
        CHECK(format_bytes(row.bytes) == row.text);
    }
}

TEST_CASE("counted things") {
    CHECK(counted(0, "image") == "0 images");
    CHECK(counted(1, "image") == "1 image");
    CHECK(counted(2, "image") == "2 images");
}

TEST_CASE("durations") {
    struct Row {
        double seconds;
        const char* text;
    };
    for (const Row& row : {Row{0.04, "0.0 s"}, Row{12.94, "12.9 s"}, Row{59.99, "1 min 00 s"},
                           Row{187, "3 min 07 s"}, Row{3725, "1 h 02 min"}}) {
        CHECK(format_duration(std::chrono::duration<double>(row.seconds)) == row.text);
    }
}

TEST_CASE("tables are aligned, without trailing spaces") {
    CHECK(format_table({{"A", "N", "Z"}, {"long", "1", "end"}}, {1}) ==
          "A     N  Z\nlong  1  end\n");
}

TEST_CASE("printable text") {
    struct Row {
        std::string bytes;
        std::string expected;
    };
    const std::vector<Row> rows{
        {"plain", "plain"},
        {"\t\x7f", "??"},
        {"\xe2\x82\xac\xf0\x9f\x94\x91", "\xe2\x82\xac\xf0\x9f\x94\x91"},
        {"\xc2\x9b", "??"},            // a control character: CSI
        {"\xc0\xaf", "??"},            // overlong
        {"\xe0\x80\x80", "???"},       // overlong
        {"\xed\xa0\x80", "???"},       // surrogate
        {"\xf4\x90\x80\x80", "????"},  // too high
        {"\xe2\x82", "??"},            // cut off
        {std::string("a\0b", 3), "a?b"},
    };
    for (const Row& row : rows) CHECK(printable(row.bytes) == row.expected);
}

TEST_CASE("shortened text ends between characters") {
    struct Row {
        const char* text;
        std::size_t limit;
        const char* expected;
    };
    for (const Row& row :
         {Row{"", 3, ""}, Row{"abc", 3, "abc"}, Row{"abcd", 3, "..."},
          Row{"abcdefgh", 7, "abcd..."}, Row{"a\xc3\xa4\xc3\xb6", 5, "a\xc3\xa4\xc3\xb6"},
          Row{"a\xc3\xa4\xc3\xb6zz", 5, "a..."}, Row{"a\xc3\xa4\xc3\xb6zz", 6, "a\xc3\xa4..."},
          Row{"\xf0\x9f\x8d\x9e\xf0\x9f\x8d\x9e", 6, "..."}}) {
        CAPTURE(row.text);
        CAPTURE(row.limit);
        CHECK(shorten(row.text, row.limit) == row.expected);
    }
}

}  // namespace
}  // namespace prebake
