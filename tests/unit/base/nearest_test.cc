#include "agent/base/nearest.h"

#include <doctest/doctest.h>

namespace prebake {
namespace {

TEST_CASE("the nearest of known words") {
    const std::vector<std::string> known{"address", "namespaces", "snapshotter"};
    CHECK(nearest("adress", known) == "address");
    CHECK(nearest("namespace", known) == "namespaces");
    CHECK(nearest("colour", known).empty());
}

}  // namespace
}  // namespace prebake
