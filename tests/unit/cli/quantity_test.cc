#include "agent/cli/quantity.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"

namespace prebake::cli {
namespace {

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
