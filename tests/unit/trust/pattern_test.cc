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

TEST_CASE("all spellings of a registry are the same registry") {
    struct Row {
        std::string name;
        std::vector<std::string> spellings;
        std::vector<std::string> others = {};
    };
    const std::vector<Row> rows = {
        {"the port of HTTPS",
         {"d.example", "d.example:443", "D.Example:443", "d.example:0443"},
         {"d.example:80", "d.example:4430", "d.example:44", "e.example", "d.example.evil"}},
        {"another port",
         {"d.example:5000", "D.EXAMPLE:5000", "d.example:05000", "d.example:005000"},
         {"d.example", "d.example:443", "d.example:50000"}},
        {"Docker Hub",
         {"docker.io", "index.docker.io", "registry-1.docker.io", "Index.Docker.io:443",
          "registry-1.docker.io:443", "registry.hub.docker.com"},
         {"docker.io:5000", "registry-2.docker.io", "index.docker.io.example"}},
        {"an IPv6 address",
         {"[2001:db8::1]", "[2001:DB8:0::0001]:443", "[2001:db8:0:0:0:0:0:1]"},
         {"[2001:db8::2]", "[2001:db8::1]:5000"}},
        {"a host without a dot", {"localhost", "localhost:443"}, {"localhost:5000"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        for (const std::string& one : row.spellings) {
            const RepositoryPattern pattern = RepositoryPattern::parse(one + "/library/**");
            CAPTURE(one);
            CHECK(pattern == RepositoryPattern::parse(row.spellings.front() + "/library/**"));
            for (const std::string& name : row.spellings) {
                CHECK_MESSAGE(pattern.matches(name + "/library/x"), name);
            }
            for (const std::string& name : row.others) {
                CHECK_MESSAGE(!pattern.matches(name + "/library/x"), name);
            }
        }
    }
}

TEST_CASE("spellings of a registry, and wildcards") {
    struct Row {
        std::string pattern;
        std::string name;
        bool matches;
    };
    const std::vector<Row> rows = {
        {"*.example/**", "d.example:443/x", true},
        {"*.example/**", "d.example:5000/x", false},
        {"*.example:443/**", "d.example/x", true},
        {"d.example:*/**", "d.example:443/x", true},
        {"d.example:*/**", "d.example:5000/x", true},
        {"*.docker.io/**", "registry-1.docker.io/library/nginx", true},
        {"docker.io/library/nginx", "registry-1.docker.io/nginx", true},
        {"docker.io/**", "registry-1.docker.io:443/nginx", true},
        {"d.example./**", "d.example/x", true},
        {"d.example/library/x", "d.example/x", false},
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
        {"index.docker.io/nginx", "two parts", "\"docker.io/library/nginx\""},
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
