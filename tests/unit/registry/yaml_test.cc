#include "agent/registry/yaml.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/base/error.h"
#include "tests/unit/http/error_of.h"

namespace prebake::registry {
namespace {

TEST_CASE("YAML is read as the JSON that it stands for") {
    struct Row {
        std::string text;
        std::string json;
    };
    for (const Row& row : {
             Row{R"({"a":[1,true,null]})", R"({"a":[1,true,null]})"},
             Row{"a: b\nc:\n- d\n- 'e'\n", R"({"a":"b","c":["d","e"]})"},
             Row{"duration: 12h\nversion: 1.20\n", R"({"duration":"12h","version":"1.20"})"},
             Row{"a: true\nb: \"true\"\nc: ~\nd:\n", R"({"a":true,"b":"true","c":null,"d":null})"},
             Row{"# comment\n---\na: {b: [c, d]}\n", R"({"a":{"b":["c","d"]}})"},
             Row{"a: &x [b]\nc: *x\n", R"({"a":["b"],"c":["b"]})"},
             Row{"", "null"},
         }) {
        CAPTURE(row.text);
        CHECK(boost::json::serialize(parse_json_or_yaml(row.text)) == row.json);
    }
}

TEST_CASE("text that is neither has a place") {
    for (const char* const text : {"a: [SECRET", "a: b\n c: SECRET: x\n", "a: *SECRET\n"}) {
        CAPTURE(text);
        const Error error = tests::error_of([&] { parse_json_or_yaml(text); });
        CHECK(error.code() == Errc::usage);
        CHECK_FALSE(tests::contains(error.message(), "SECRET"));
    }
}

TEST_CASE("aliases cannot blow up a document") {
    std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    for (int i = 1; i < 10; ++i) {
        const std::string inner = "*a" + std::to_string(i - 1);
        const std::string name = "a" + std::to_string(i);
        text += name + ": &" + name + " [" + inner;
        for (int j = 1; j < 10; ++j) text += "," + inner;
        text += "]\n";
    }
    CHECK(tests::error_of([&] { parse_json_or_yaml(text); }).code() == Errc::too_large);
    const std::string deep = std::string(10'000, '[');
    tests::error_of([&] { parse_json_or_yaml(deep); });
}

}  // namespace
}  // namespace prebake::registry
