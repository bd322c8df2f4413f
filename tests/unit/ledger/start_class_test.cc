#include "agent/ledger/start_class.h"

#include <doctest/doctest.h>

namespace prebake::ledger {
namespace {

TEST_CASE("hit, partial or miss") {
    struct Row {
        const char* name;
        StartFacts facts;
        StartClass expected;
    };
    const Row rows[] = {
        {"baked", {.is_baked_image = true, .baked_bytes = 9}, StartClass::hit},
        {"baked, without layers", {.is_baked_image = true}, StartClass::hit},
        {"baked, and a layer was pulled",
         {.is_baked_image = true, .has_pulled_layer = true, .baked_bytes = 9},
         StartClass::partial},
        {"baked, and all was pulled",
         {.is_baked_image = true, .has_pulled_layer = true},
         StartClass::miss},
        {"baked layers under another name", {.baked_bytes = 9}, StartClass::partial},
        {"nothing in common", {.has_pulled_layer = true}, StartClass::miss},
        {"no layers, not baked", {}, StartClass::miss},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(classify(row.facts) == row.expected);
    }
}

}  // namespace
}  // namespace prebake::ledger
