#include "agent/trust/pattern.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"

namespace prebake::trust {
namespace {

using tests::contains;
using tests::thrown_by;

TEST_CASE("a pattern matches whole names of repositories") {
    struct Row {
        std::string pattern;
        std::string name;
        bool matches;
    };
    const std::string ecr = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
    const std::vector<Row> rows = {
        {"docker.io/library/nginx", "docker.io/library/nginx", true},
        {"docker.io/library/nginx", "docker.io/library/nginx2", false},
        {"docker.io/library/nginx", "docker.io/library/ngin", false},
        {"docker.io/library/*", "docker.io/library/nginx", true},
        {"docker.io/library/*", "docker.io/library/nginx/x", false},
        {"docker.io/library/*", "docker.io/other/nginx", false},
        {"docker.io/library/n*x", "docker.io/library/nx", true},
        {"docker.io/library/n*x", "docker.io/library/nginy", false},
        {"docker.io/library/?ginx", "docker.io/library/nginx", true},
        {"docker.io/library/?ginx", "docker.io/library/ginx", false},
        {"docker.io/?/a", "docker.io///a", false},
        {"docker.io/**", "docker.io/a/b/c", true},
        {"docker.io/**", "docker.io.evil.example/a", false},
        {"*.dkr.ecr.*.amazonaws.com/prod/**", ecr + "/prod/a", true},
        {"*.dkr.ecr.*.amazonaws.com/prod/**", ecr + "/prod/a/b", true},
        {"*.dkr.ecr.*.amazonaws.com/prod/**", ecr + "/test/a", false},
        {"*.dkr.ecr.*.amazonaws.com/prod/**", ecr + ".evil.example/prod/a", false},
        {"*.dkr.ecr.*.amazonaws.com/prod/**", "evil.example/x" + ecr + "/prod/a", false},
        {"**", "docker.io/library/nginx", true},
        {"**/nginx", "docker.io/library/nginx", true},
        {"**/nginx", "docker.io/library/nginx2", false},
        {"**nginx", "reg.example/my-nginx", true},
        {"reg.example/**/app", "reg.example/a/b/app", true},
        {"reg.example/**/app", "reg.example/app", false},
        {"reg.example/a**", "reg.example/ab/c", true},
        {"localhost:5000/*", "localhost:5000/app", true},
        {"localhost:5000/*", "localhost/app", false},
        {"[::1]:5000/*", "[::1]:5000/app", true},
        {"Docker.IO/library/*", "docker.io/library/nginx", true},
        {"docker.io/library/*", "DOCKER.io/library/nginx", true},
        {"reg.example/*.*", "reg.example/a.b", true},
        {"reg.example/a***b", "reg.example/axb", true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.pattern);
        CAPTURE(row.name);
        CHECK(RepositoryPattern::parse(row.pattern).matches(row.name) == row.matches);
    }
}

TEST_CASE("the most characters decide, then the part before the first wildcard") {
    // Each is more specific than the one after it.
    const std::vector<std::string> ordered = {"docker.io/library/nginx",
                                              "docker.io/library/nginx*",
                                              "docker.io/library/n*x",
                                              "docker.io/library/*",
                                              "docker.io/**",
                                              "**"};
    for (std::size_t i = 0; i + 1 < ordered.size(); ++i) {
        CAPTURE(ordered[i]);
        const auto one = RepositoryPattern::parse(ordered[i]);
        const auto next = RepositoryPattern::parse(ordered[i + 1]);
        // "nginx*" and "nginx" have as many characters of their own.
        CHECK_FALSE(next.is_more_specific_than(one));
        CHECK_FALSE(one.is_more_specific_than(one));
        if (i > 0) CHECK(one.is_more_specific_than(next));
    }
    const auto front = RepositoryPattern::parse("reg.example/ab*");
    const auto back = RepositoryPattern::parse("reg.example/*ab/**");
    CHECK(back.is_more_specific_than(front));
    CHECK(RepositoryPattern::parse("reg.example/ab*c")
              .is_more_specific_than(RepositoryPattern::parse("reg.example/a*bc")));
}

TEST_CASE("a pattern that can match nothing is refused, and the right one is named") {
    struct Row {
        std::string pattern;
        std::string reason;
        std::string step;
    };
    const std::vector<Row> rows = {
        {"", "it is empty", "docker.io/library/*"},
        {"nginx", "the registry is missing", "\"docker.io/library/nginx\""},
        {"*", "the registry is missing", "\"**\""},
        {"library/nginx", "\"library\" is no registry", "\"docker.io/library/nginx\""},
        {"docker.io/nginx", "two parts", "\"docker.io/library/nginx\""},
        {"docker.io/*", "two parts", "\"docker.io/**\""},
        {"index.docker.io/library/*", "docker.io", "\"docker.io/library/*\""},
        {"docker.io/library/nginx:1.27", "not tags", "leave out the tag"},
        {"docker.io/library/nginx@sha256:0", "not digests", "leave out the digest"},
        {"https://reg.example/a", "it is a URL", "\"//\""},
        {"reg.example/{a,b}", "no name contains '{'", "wildcards are"},
        {"reg.example/a b", "no name contains ' '", "wildcards are"},
        {"!reg.example/a", "no name contains '!'", "wildcards are"},
        {"reg.example/" + std::string(600, 'a'), "longer than any name", "REGISTRY/REPOSITORY"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.pattern);
        const Error error = thrown_by([&] { RepositoryPattern::parse(row.pattern); });
        CHECK(error.code() == Errc::usage);
        CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
        CHECK_MESSAGE(contains(error.next_step(), row.step), error.next_step());
    }
}

TEST_CASE("a pattern of many wildcards is matched in time") {
    std::string pattern = "reg.example/";
    for (int i = 0; i < 100; ++i) pattern += "**a";
    CHECK_FALSE(
        RepositoryPattern::parse(pattern).matches("reg.example/" + std::string(240, 'a') + "b"));
}

}  // namespace
}  // namespace prebake::trust
