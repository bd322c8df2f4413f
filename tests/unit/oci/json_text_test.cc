#include "agent/oci/json_text.h"

#include <doctest/doctest.h>

#include <vector>

namespace prebake::oci::json_text_test {

TEST_CASE("a value is found by its path, and a path by its place") {
    const std::string text =
        "{\"a\": 1, \"b\": [true, {\"c\": \"x]}\\\"\", \"é\": null},\n"
        " [[], {\"d\": -2}]],\n"
        "\"e\": {}, \"a\": 3, \"bb\": 4}";
    struct Row {
        const char* path;
        const char* text;  ///< that begins at the place
    };
    for (const Row& row : std::vector<Row>{{"", "{\"a\": 1"},
                                           {"a", "3, \"bb\""},
                                           {"b", "[true"},
                                           {"b[0]", "true"},
                                           {"b[1].c", "\"x]}"},
                                           {"b[1].é", "null"},
                                           {"b[2][0]", "[], {"},
                                           {"b[2][1].d", "-2"},
                                           {"e", "{}, "},
                                           {"bb", "4}"}}) {
        CAPTURE(row.path);
        const std::size_t offset = offset_of(text, row.path);
        CHECK(text.substr(offset).starts_with(row.text));
        CHECK(path_at(text, offset + 1) == row.path);
    }
    // What is not there is in the value around it.
    CHECK(offset_of(text, "b[1].missing") == offset_of(text, "b[1]"));
    CHECK(offset_of(text, "b[9]") == offset_of(text, "b"));
    CHECK(offset_of(text, "bbb") == 0);
    CHECK(line_and_column(text, offset_of(text, "b[2]")) == "line 2, column 2");
    CHECK(line_and_column(text, 0) == "line 1, column 1");
    // A character of two bytes is one column.
    CHECK(line_and_column(text, offset_of(text, "b[1].é")) == "line 1, column 42");
}

TEST_CASE("a truncated text has a path, whatever it is") {
    struct Row {
        const char* text;
        const char* path;
    };
    for (const Row& row : std::vector<Row>{{"", ""},
                                           {"{", ""},
                                           {"{\"a", ""},
                                           {"{\"a\":", ""},
                                           {"{\"a\": [1, 2", "a[1]"},
                                           {"{\"a\": [1, 2,", "a"},
                                           {"{\"a\": [1, 2], ", ""},
                                           {"{\"a\": {\"b\": \"\\", "a.b"},
                                           {"<html>", ""},
                                           {"[[[[", "[0][0][0]"}}) {
        CAPTURE(row.text);
        CHECK(path_at(row.text, std::string_view(row.text).size()) == row.path);
    }
}

TEST_CASE("half of a surrogate pair is replaced, a pair is not") {
    CHECK_FALSE(without_lone_surrogates(R"({"a":"é \\ud83d \u0041 \ud83d\ude00"})"));
    CHECK(without_lone_surrogates(R"(\ud83d y)") == R"(\ufffd y)");
    CHECK(without_lone_surrogates(R"(\ud83d\ud83d\ude00\ude00)") == R"(\ufffd\ud83d\ude00\ufffd)");
    CHECK(without_lone_surrogates(R"(\\\uDC00)") == R"(\\\ufffd)");
    CHECK_FALSE(without_lone_surrogates(R"(\ud83)"));
    CHECK_FALSE(without_lone_surrogates("\\"));
}

TEST_CASE("what is not UTF-8 is replaced byte by byte, as Go does it") {
    struct Row {
        const char* text;
        const char* valid;
    };
    for (const Row& row : std::vector<Row>{
             {"", ""},
             {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
              "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
             {"caf\xe9", "caf\xef\xbf\xbd"},
             {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
             {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},                  // too long
             {"\xed\xa0\xbd", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // surrogate
             {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
             {"\x80x\xff", "\xef\xbf\xbdx\xef\xbf\xbd"},
         }) {
        CAPTURE(row.text);
        CHECK(valid_utf8(row.text) == row.valid);
    }
}

}  // namespace prebake::oci::json_text_test
