#include "agent/trust/policy.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/base/thrown.h"
#include "tests/unit/trust/signing_key.h"

namespace prebake::trust {
namespace {

using test::SigningKey;
using tests::contains;
using tests::thrown_by;

Rule rule_about(const std::vector<std::string>& patterns, const std::string& origin,
                Requirement require = Requirement::signature) {
    Rule rule{.match = {}, .require = require, .origin = origin};
    for (const std::string& pattern : patterns) {
        rule.match.push_back(RepositoryPattern::parse(pattern));
    }
    return rule;
}

/// Without keys.
Policy policy_with(std::vector<Rule> rules) {
    return {std::move(rules), [](const std::string&) { return std::string(); }};
}

std::string origin_of(const Policy& policy, const std::string& repository,
                      NamedBy by = NamedBy::user) {
    const Rule* const rule = policy.rule_for(repository, by);
    return rule == nullptr ? "none" : rule->origin;
}

TEST_CASE("the most specific rule about a repository holds") {
    const Policy policy = policy_with({rule_about({"docker.io/**"}, "hub"),
                                       rule_about({"docker.io/library/*"}, "library"),
                                       rule_about({"docker.io/library/nginx"}, "nginx"),
                                       rule_about({"**/test-*", "reg.example/**"}, "several")});
    struct Row {
        std::string repository;
        std::string rule;
    };
    const std::vector<Row> rows = {
        {"docker.io/library/nginx", "nginx"},
        {"docker.io/library/redis", "library"},
        {"docker.io/a/b", "hub"},
        {"docker.io/library/test-x", "library"},
        {"docker.io/a/test-x", "hub"},
        {"quay.io/a/test-x", "several"},
        {"reg.example/a", "several"},
        {"quay.io/a/b", "none"},
        {"docker.io.evil.example/a/b", "none"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.repository);
        CHECK(origin_of(policy, row.repository) == row.rule);
    }
    CHECK(origin_of(Policy(), "docker.io/library/nginx") == "none");
}

TEST_CASE("another spelling of the registry leads to the same rule") {
    const Policy policy = policy_with({rule_about({"d.example/**"}, "all"),
                                       rule_about({"d.example/free/**"}, "free", Requirement::none),
                                       rule_about({"docker.io/library/*"}, "library")});
    CHECK(origin_of(policy, "d.example:443/x/y") == "all");
    CHECK(origin_of(policy, "d.example:0443/x/y") == "all");
    CHECK(origin_of(policy, "D.example:443/free/y") == "free");
    CHECK(origin_of(policy, "registry-1.docker.io:443/library/nginx") == "library");
    CHECK(policy.required_for({"d.example:443/x", "d.example/x"}).size() == 1);
    // A port does not make a rule more specific.
    CHECK(origin_of(policy_with({rule_about({"d.example:443/**"}, "one"),
                                 rule_about({"d.example/**"}, "later")}),
                    "d.example:443/x") == "later");
}

TEST_CASE("the order of rules does not matter, unless they are equally specific") {
    std::vector<Rule> rules{rule_about({"docker.io/library/nginx"}, "nginx"),
                            rule_about({"docker.io/library/*"}, "library")};
    CHECK(origin_of(policy_with(rules), "docker.io/library/nginx") == "nginx");
    std::reverse(rules.begin(), rules.end());
    CHECK(origin_of(policy_with(rules), "docker.io/library/nginx") == "nginx");
    // A later file overrides an earlier one.
    rules.push_back(rule_about({"docker.io/library/nginx"}, "later"));
    CHECK(origin_of(policy_with(rules), "docker.io/library/nginx") == "later");
}

TEST_CASE("--verify-key is about images that no rule is about, and not about the sandbox image") {
    const Policy policy = policy_with(
        {rule_of_verify_key({"k.pub"}), rule_about({"quay.io/**"}, "quay", Requirement::none)});
    CHECK(origin_of(policy, "docker.io/library/nginx") == "--verify-key");
    CHECK(origin_of(policy, "quay.io/a/b") == "quay");
    CHECK(origin_of(policy, "registry.k8s.io/pause", NamedBy::cri) == "none");
    CHECK(origin_of(policy, "quay.io/a/b", NamedBy::cri) == "quay");
    const Policy with_all =
        policy_with({rule_of_verify_key({"k.pub"}), rule_about({"**"}, "all", Requirement::none)});
    CHECK(origin_of(with_all, "docker.io/library/nginx") == "all");
}

TEST_CASE("an image has to be what the rules about all its names want") {
    const Policy policy = policy_with({rule_about({"docker.io/library/*"}, "library"),
                                       rule_about({"mirror.example/**"}, "mirror"),
                                       rule_about({"free.example/**"}, "free", Requirement::none)});
    const auto origins = [&](const std::vector<std::string>& repositories) {
        std::vector<std::string> found;
        for (const Rule* rule : policy.required_for(repositories)) found.push_back(rule->origin);
        return found;
    };
    using Origins = std::vector<std::string>;
    CHECK(origins({"free.example/nginx"}) == Origins{});
    CHECK(origins({"free.example/nginx", "docker.io/library/nginx"}) == Origins{"library"});
    CHECK(origins({"mirror.example/nginx", "docker.io/library/nginx"}) ==
          Origins{"mirror", "library"});
    CHECK(origins({"docker.io/library/a", "docker.io/library/b"}) == Origins{"library"});
}

TEST_CASE("each key is read once; one that cannot be used is named when it is needed") {
    const SigningKey good = SigningKey::on_curve("P-256");
    Rule one = rule_about({"docker.io/**"}, "a.toml:1");
    one.key_files = {"good.pub", "missing.pub"};
    Rule other = rule_about({"quay.io/**"}, "a.toml:5");
    other.key_files = {"good.pub"};
    int reads = 0;
    const Policy policy({one, other}, [&](const std::string& file) -> std::string {
        ++reads;
        if (file == "good.pub") return good.public_pem();
        throw Error(Errc::not_found, "cannot open " + file + ": no such file");
    });
    CHECK(reads == 2);
    CHECK(policy.keys_of(one).size() == 1);
    REQUIRE(policy.keys_of(other).size() == 1);
    const PublicKey key = policy.keys_of(other).front();
    CHECK(key.file() == "good.pub");
    REQUIRE(policy.find_key(key.fingerprint()) != nullptr);
    CHECK(policy.find_key("sha256:00") == nullptr);
    CHECK(policy.problems().size() == 1);
    const Error error = thrown_by([&] { policy.require_keys(); });
    CHECK(error.code() == Errc::usage);
    CHECK(error.message() == "the rule at a.toml:1: cannot open missing.pub: no such file");
    CHECK_FALSE(error.next_step().empty());
    CHECK_NOTHROW(Policy().require_keys());
}

}  // namespace
}  // namespace prebake::trust
