#include "agent/registry/go_pattern.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/http/error_of.h"

namespace prebake::registry::go_pattern_test {

using tests::contains;
using tests::error_of;

std::string rewritten(const std::string& pattern, const std::string& replacement,
                      const std::string& repository) {
    const Endpoint endpoint{.base_url = "https://m.example",
                            .rewrites = {rewrite_of_go(pattern, replacement)}};
    return endpoint.repository_of(repository);
}

TEST_CASE("patterns of Go") {
    struct Row {
        std::string pattern;
        std::string replacement;
        std::string repository;
        std::string result;
    };
    const std::vector<Row> rows = {
        {"^library/(.*)", "mirror/$1", "library/nginx", "mirror/nginx"},
        {"(.*)", "m/$1", "a/b", "m/a/b"},
        {"(?i)^LIBRARY/(.*)", "m/$1", "library/nginx", "m/nginx"},
        {"^LIBRARY/(.*)", "m/$1", "library/nginx", "library/nginx"},
        {"(?s)^(.*)$", "m/$1", "a", "m/a"},
        {"(?im)^A$", "b", "a", "b"},
        {"^(?P<team>[a-z]+)/(?P<app>.+)$", "${app}/$team", "x/y", "y/x"},
        {"^(?<team>[a-z]+)/(.+)$", "$2/${team}", "x/y", "y/x"},
        {"\\Alibrary/(.*)\\z", "m/$1", "library/nginx", "m/nginx"},
        {"\\Ab", "m", "ab", "ab"},
        {"^(?:a|b)/(\\w+)$", "m/$1", "b/c", "m/c"},
        {"([(?P<x>]+)", "m", "x", "m"},
        {"^[]a]+$", "m", "a", "m"},
        {"^[^]/]+$", "m", "a", "m"},
        {"^[[:alpha:]]+$", "m", "abc", "m"},
        {"a*", "m", "baac", "mbmcm"},
        {"a\\.b", "m", "a.b", "m"},
        {"a\\.b", "m", "axb", "axb"},
        // $1x is a group named 1x, which there is none of.
        {"^(a)$", "m/$1x", "a", "m/"},
        {"^(a)$", "m/${1}x", "a", "m/ax"},
        {"^(a)$", "m/${1}0", "a", "m/a0"},
        {"^(a)$", "m/$2-$name-$100", "a", "m/--"},
        {"^a$", "$0/b", "a", "a/b"},
        {"^a$", "$$1", "a", "$1"},
        {"^a$", "m/$/${/${1/$&", "a", "m/$/${/${1/$&"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.pattern);
        CAPTURE(row.replacement);
        CHECK(rewritten(row.pattern, row.replacement, row.repository) == row.result);
    }
}

TEST_CASE("what is not supported is named, and not called wrong") {
    struct Row {
        std::string pattern;
        std::string what;
    };
    const std::vector<Row> rows = {
        {"(?U)a", "\"(?U\" in it"},
        {"a(?i)b", "\"(?i\" in it"},
        {"(?i:a)", "\"(?i\" in it"},
        {"(?=a)", "\"(?=\" in it"},
        {"(?P<a", "\"(?P\" in it"},
        {"(?", "\"(?\" in it"},
        {"(?<>a)", "\"(?<\" in it"},
        {"\\Qa\\E", "\"\\Q\" in it"},
        {"\\pL", "\"\\p\" in it"},
        {"(a)\\1", "\"\\1\" in it"},
        {"[\\z]", "\"\\z\" in it"},
        {"(", "it as a regular expression"},
        {"[[:^digit:]]", "it as a regular expression"},
        {"[a", "it as a regular expression"},
        {"a\\", "it as a regular expression"},
        {std::string(1001, 'a'), "patterns beyond 1000 bytes"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.pattern);
        const Error error = error_of([&] { rewrite_of_go(row.pattern, "x"); });
        CHECK(error.code() == Errc::usage);
        CHECK_MESSAGE(contains(error.message(), "prebake does not support " + row.what),
                      error.message());
        CHECK_FALSE(error.next_step().empty());
    }
}

}  // namespace prebake::registry::go_pattern_test
