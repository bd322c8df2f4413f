#include "agent/registry/go_duration.h"

#include <doctest/doctest.h>

namespace prebake::registry {
namespace {

TEST_CASE("durations of Go") {
    using std::chrono::hours;
    using std::chrono::milliseconds;
    using std::chrono::minutes;
    using std::chrono::seconds;
    CHECK(parse_go_duration("5m0s") == minutes(5));
    CHECK(parse_go_duration("1h30m") == minutes(90));
    CHECK(parse_go_duration("1.5h") == minutes(90));
    CHECK(parse_go_duration("250ms") == milliseconds(250));
    CHECK(parse_go_duration("0s") == seconds(0));
    CHECK(parse_go_duration("0") == seconds(0));
    CHECK(parse_go_duration("999999999h").value() > hours(24 * 365));
    for (const char* const text : {"", "5", "m", "-5m", "5 m", "5x"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_go_duration(text));
    }
}

}  // namespace
}  // namespace prebake::registry
