#include "agent/registry/challenge.h"

#include <doctest/doctest.h>

namespace prebake::registry {
namespace {

TEST_CASE("WWW-Authenticate headers become challenges") {
    struct Row {
        std::string name;
        std::vector<std::string> headers;
        std::vector<Challenge> expected;
    };
    const std::vector<Row> rows = {
        {"none", {}, {}},
        {"empty", {""}, {}},
        {"scheme alone", {"Basic"}, {{"basic", {}}}},
        {"one parameter", {"Basic realm=\"a b\""}, {{"basic", {{"realm", "a b"}}}}},
        {"names and schemes without case",
         {"BEARER Realm=\"https://t\",SERVICE=\"s\""},
         {{"bearer", {{"realm", "https://t"}, {"service", "s"}}}}},
        {"commas inside quotes",
         {"Bearer realm=\"https://t\",scope=\"repository:a:pull,push repository:b:pull\""},
         {{"bearer",
           {{"realm", "https://t"}, {"scope", "repository:a:pull,push repository:b:pull"}}}}},
        {"escapes inside quotes",
         {R"(Basic realm="say \"a\\b\"")"},
         {{"basic", {{"realm", R"(say "a\b")"}}}}},
        {"unquoted values and blanks",
         {"Bearer  realm = https://t ,  error=invalid_token"},
         {{"bearer", {{"realm", "https://t"}, {"error", "invalid_token"}}}}},
        {"two in one header",
         {"Basic realm=\"x\", Bearer realm=\"https://t\", service=s"},
         {{"basic", {{"realm", "x"}}}, {"bearer", {{"realm", "https://t"}, {"service", "s"}}}}},
        {"two in two headers",
         {"Negotiate", "Basic realm=\"x\""},
         {{"negotiate", {}}, {"basic", {{"realm", "x"}}}}},
        {"token68 is no parameter",
         {"Negotiate YIIabc/+==, Basic realm=\"x\""},
         {{"negotiate", {}}, {"basic", {{"realm", "x"}}}}},
        {"a forgotten comma",
         {"Basic realm=\"x\" Bearer realm=\"https://t\""},
         {{"basic", {{"realm", "x"}}}, {"bearer", {{"realm", "https://t"}}}}},
        {"the first of two equal names wins",
         {"Basic realm=\"x\", realm=\"y\""},
         {{"basic", {{"realm", "x"}}}}},
        {"a quote that never ends", {"Basic realm=\"x"}, {{"basic", {{"realm", "x"}}}}},
        {"a lone backslash at the end", {"Basic realm=\"x\\"}, {{"basic", {{"realm", "x\\"}}}}},
        {"no space after a comma, tabs, empty elements",
         {"Basic realm=\"x\",Bearer\trealm=\"https://t\",,,service\t=\ts"},
         {{"basic", {{"realm", "x"}}}, {"bearer", {{"realm", "https://t"}, {"service", "s"}}}}},
        {"a comma before the first parameter",
         {"Bearer , realm=\"https://t\""},
         {{"bearer", {{"realm", "https://t"}}}}},
        {"a query in the realm, with and without quotes",
         {"Bearer realm=\"https://t/?a=b,c&d=e\"", "bearer realm=https://t/?a=b&d=e,service=s"},
         {{"bearer", {{"realm", "https://t/?a=b,c&d=e"}}},
          {"bearer", {{"realm", "https://t/?a=b&d=e"}, {"service", "s"}}}}},
        {"nonsense is skipped", {"==,\"\" ,, = \"a"}, {{"a", {}}}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const auto challenges = parse_challenges(row.headers);
        REQUIRE(challenges.size() == row.expected.size());
        for (std::size_t i = 0; i < challenges.size(); ++i) {
            CHECK(challenges[i].scheme == row.expected[i].scheme);
            CHECK(challenges[i].parameters == row.expected[i].parameters);
        }
    }
}

TEST_CASE("401 asks for an authorization, 403 only for more scope") {
    const auto challenges = [](const std::string& error) {
        return parse_challenges({"Basic realm=x", "Bearer realm=y,error=" + error});
    };
    CHECK(asks_for_authorization(401, {}));
    CHECK(asks_for_authorization(403, challenges("insufficient_scope")));
    CHECK_FALSE(asks_for_authorization(403, challenges("invalid_token")));
    CHECK_FALSE(asks_for_authorization(403, {}));
    CHECK_FALSE(asks_for_authorization(404, challenges("insufficient_scope")));
}

TEST_CASE("Bearer with a realm is preferred over Basic") {
    struct Row {
        std::string header;
        const char* scheme;  ///< null: none
    };
    for (const Row& row : {
             Row{"Basic realm=\"x\", Bearer realm=\"https://t\"", "bearer"},
             Row{"Bearer realm=\"https://t\", Basic realm=\"x\"", "bearer"},
             Row{"Bearer error=\"invalid_token\", Basic realm=\"x\"", "basic"},
             Row{"Basic", "basic"},
             Row{"Negotiate", nullptr},
             Row{"", nullptr},
         }) {
        CAPTURE(row.header);
        const auto challenges = parse_challenges({row.header});
        const Challenge* chosen = preferred_challenge(challenges);
        REQUIRE((chosen != nullptr) == (row.scheme != nullptr));
        if (chosen != nullptr) CHECK(chosen->scheme == row.scheme);
    }
}

}  // namespace
}  // namespace prebake::registry
