#include "agent/cli/format.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"

namespace prebake::cli {
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

TEST_CASE("tables line up, and nothing trails") {
    CHECK(format_table({{"A", "N", "Z"}, {"long", "1", "end"}}, {1}) ==
          "A     N  Z\nlong  1  end\n");
}

TEST_CASE("sizes and times with units") {
    CHECK(parse_bytes("64MiB") == 64ULL << 20);
    CHECK(parse_bytes("1 GB") == 1'000'000'000);
    CHECK(parse_bytes("7") == 7);
    CHECK(parse_duration("30s") == std::chrono::seconds(30));
    CHECK(parse_duration("250ms") == std::chrono::milliseconds(250));
    for (const char* bad : {"", "MiB", "-1", "1.5GiB", "3 parsecs", "99999999999999GiB"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(parse_bytes(bad), Error);
    }
}

}  // namespace
}  // namespace prebake::cli
