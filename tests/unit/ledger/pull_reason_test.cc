#include "agent/ledger/pull_reason.h"

#include <doctest/doctest.h>

namespace prebake::ledger {
namespace {

TEST_CASE("why an image was pulled") {
    struct Row {
        PullFacts facts;
        std::string_view expected;
    };
    const Row rows[] = {
        {{.name = "a:1"}, "never_listed"},
        {{.name = "a:latest"}, "never_listed"},
        {{.name = "a:1", .is_baked_name = true}, "tag_moved"},
        {{.name = "a:latest", .is_baked_name = true}, "latest_tag"},
        {{.name = "b:1", .is_baked_here = true}, "other_name"},
        {{.name = "b:1", .is_baked_here = true, .is_baked_elsewhere = true}, "other_name"},
        {{.name = "a:1", .is_baked_elsewhere = true}, "other_namespace"},
        {{.name = "a:1", .is_baked = true, .is_baked_name = true}, "pulled_again"},
        {{.name = "a:1", .is_baked = true, .was_chain_missing = true}, "snapshot_missing"},
        {{.name = "a:1", .is_baked = true, .has_lost_parts = true}, "garbage_collected"},
        {{.name = "a:1", .is_baked = true, .has_lost_parts = true, .was_chain_missing = true},
         "garbage_collected"},
    };
    for (const Row& row : rows) CHECK(pull_reason(row.facts) == row.expected);
}

}  // namespace
}  // namespace prebake::ledger
