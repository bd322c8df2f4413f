#include "agent/registry/rate_limit.h"

#include <doctest/doctest.h>

namespace prebake::registry {
namespace {

using namespace std::chrono_literals;

TEST_CASE("rate limits in headers") {
    struct Row {
        std::string name;
        http::Headers headers;
        std::optional<RateLimit> expected;
    };
    const std::string long_source(100, 'x');
    const Row rows[] = {
        {"none", {}, {}},
        {"Docker Hub's",
         {{"RateLimit-Limit", "100;w=21600"},
          {"ratelimit-remaining", "76;w=21600"},
          {"Docker-RateLimit-Source", "203.0.113.7"}},
         RateLimit{.limit = 100, .remaining = 76, .window = 21600s, .source = "203.0.113.7"}},
        {"without window and source",
         {{"ratelimit-limit", "200"}, {"ratelimit-remaining", "0"}},
         RateLimit{.limit = 200, .remaining = 0}},
        {"spaces and other parameters",
         {{"ratelimit-limit", " 100 ; burst=5; w=60 "},
          {"ratelimit-remaining", "1;policy=\"a;w\""}},
         RateLimit{.limit = 100, .remaining = 1, .window = 60s}},
        {"the window of the other header",
         {{"ratelimit-limit", "100"}, {"ratelimit-remaining", "7;w=60"}},
         RateLimit{.limit = 100, .remaining = 7, .window = 60s}},
        {"a window that is none",
         {{"ratelimit-limit", "100;w=x"}, {"ratelimit-remaining", "7;w=99999999999999"}},
         RateLimit{.limit = 100, .remaining = 7}},
        {"a long source",
         {{"ratelimit-limit", "1"},
          {"ratelimit-remaining", "1"},
          {"docker-ratelimit-source", long_source}},
         RateLimit{.limit = 1, .remaining = 1, .source = std::string(61, 'x') + "..."}},
        {"limit alone", {{"ratelimit-limit", "100;w=21600"}}, {}},
        {"remaining alone", {{"ratelimit-remaining", "100;w=21600"}}, {}},
        {"negative", {{"ratelimit-limit", "100"}, {"ratelimit-remaining", "-1"}}, {}},
        {"no number", {{"ratelimit-limit", "many"}, {"ratelimit-remaining", "1"}}, {}},
        {"too large",
         {{"ratelimit-limit", "99999999999999999999999"}, {"ratelimit-remaining", "1"}},
         {}},
        {"empty", {{"ratelimit-limit", ""}, {"ratelimit-remaining", ";w=1"}}, {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(rate_limit_in(row.headers) == row.expected);
    }
}

}  // namespace
}  // namespace prebake::registry
