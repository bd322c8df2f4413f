#include "agent/base/nearest.h"

#include <doctest/doctest.h>

namespace prebake {
namespace {

TEST_CASE("the nearest of known words") {
    const std::vector<std::string> known{"address", "namespaces", "snapshotter"};
    CHECK(nearest("adress", known) == "address");
    CHECK(nearest("namespace", known) == "namespaces");
    CHECK(nearest("colour", known).empty());
    CHECK_MESSAGE(nearest("ADDRESS", known) == "address", "whatever its case");
}

TEST_CASE("a part of a word is near to it, and the other way round") {
    const std::vector<std::string> known{"aliases", "keep_layers", "namespaces", "platform", "ref"};
    CHECK(nearest("layers", known) == "keep_layers");
    CHECK(nearest("reference", known) == "ref");
    CHECK(nearest("platform_of_the_nodes", known) == "platform");
    CHECK(nearest("r", known).empty());
    CHECK(nearest("name", known).empty());
}

}  // namespace
}  // namespace prebake
