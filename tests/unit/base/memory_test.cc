#include "agent/base/memory.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace prebake {
namespace {

int written_before = 1;

TEST_CASE("only unneeded memory is released") {
    written_before = 42;
    std::vector<std::string> kept(1000, "still there");
    {
        const std::vector<std::string> freed(100'000, "something longer than a small string holds");
        CHECK(freed.back().size() > 15);
    }
    give_back_memory();
    give_back_memory();
    CHECK(written_before == 42);
    CHECK(kept.front() + kept.back() == "still therestill there");
    // Released code runs again.
    CHECK(std::to_string(written_before) == "42");
}

}  // namespace
}  // namespace prebake
