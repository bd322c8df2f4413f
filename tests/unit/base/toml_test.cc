#include "agent/base/toml.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/base/thrown.h"

namespace prebake {
namespace {

// Of one to four bytes in UTF-8, at the limits of the ranges in toml++'s tables.
const std::string kNoWhiteSpace[] = {"!",      "ä",      "Ā",      "ѹ",      "ҙ",
                                     "\u049A", "\u2010", "\u2061", "\uFEFE", "\U00010348"};

TEST_CASE("a character that is no white space is an error where only white space may be") {
    for (const std::string& character : kNoWhiteSpace) {
        CAPTURE(character);
        for (const std::string& text : {"[" + character + "m\"]\n", "a = 1 " + character + "\n",
                                        "[t] " + character + "\n", character + "\n"}) {
            CAPTURE(text);
            const Error error = tests::thrown_by([&] { parse_toml(text, "/d/f.toml"); });
            CHECK(error.code() == Errc::usage);
            CHECK(error.message().starts_with("/d/f.toml:1:"));
            CHECK(error.message().find(character == "!" ? "no quotation" : character) ==
                  std::string::npos);
        }
    }
}

TEST_CASE("strings and comments hold any character") {
    for (const std::string& character : kNoWhiteSpace) {
        const toml::table table =
            parse_toml("\"" + character + "\" = '" + character + "' # " + character + "\n", "f");
        const toml::node* const node = table.get(character);
        REQUIRE(node != nullptr);
        CHECK(string_value(*node, character, "\"x\"") == character);
    }
}

TEST_CASE("an error names file, line and column, and has the caller's next step") {
    const Error error =
        tests::thrown_by([] { parse_toml("a = 1\nb = = 2\n", "/d/f.toml", "repair it"); });
    CHECK(error.message().starts_with("/d/f.toml:2:5: "));
    CHECK(error.next_step() == "repair it");
}

}  // namespace
}  // namespace prebake
