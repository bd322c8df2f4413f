#include "agent/base/text.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

namespace prebake {
namespace {

TEST_CASE("fields of a line of passwd(5)") {
    constexpr std::string_view kLine = "eve:x:1000::Eve, who:/home/eve:/bin/sh";
    CHECK(field_of(kLine, 0) == "eve");
    CHECK(field_of(kLine, 2) == "1000");
    CHECK(field_of(kLine, 3).empty());
    CHECK(field_of(kLine, 6) == "/bin/sh");
    CHECK(field_of(kLine, 7).empty());
    CHECK(field_of("eve", 0) == "eve");
    CHECK(field_of("eve:", 1).empty());
    CHECK(field_of("", 0).empty());
}

TEST_CASE("words are joined") {
    using Words = std::vector<std::string>;
    CHECK(joined(Words{}).empty());
    CHECK(joined(Words{"a"}) == "a");
    CHECK(joined(Words{"a", "b", "c"}) == "a, b, c");
    CHECK(joined(std::set<std::string>{"b", "a"}, " ") == "a b");
}

}  // namespace
}  // namespace prebake
