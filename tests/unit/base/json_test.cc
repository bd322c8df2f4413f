#include "agent/base/json.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/base/error.h"
#include "proto/prebake/v1/problem.pb.h"

namespace prebake {
namespace {

TEST_CASE("the schema of a document") {
    struct Row {
        std::string json;
        std::string schema;
    };
    const Row rows[] = {
        {R"({"schema": "prebake.v2.Claim", "state": [1, {"x": null}]})", "prebake.v2.Claim"},
        {R"({"other": 1})", ""},
        {R"({"schema": 7})", ""},
        {R"(["schema"])", ""},
        {R"({"schema": "prebake)", ""},
        {"", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.json);
        CHECK(schema_in(row.json) == row.schema);
    }
}

TEST_CASE("what is wrong with a document fits into a sentence") {
    v1::Problem message;
    try {
        from_json("damaged", message, "/a/b.json", "restore it");
        FAIL("it was read");
    } catch (const Error& error) {
        CHECK(error.code() == Errc::corrupt);
        CHECK(error.message().starts_with("/a/b.json is not a prebake.v1.Problem: "));
        CHECK_FALSE(error.message().ends_with('.'));
        CHECK(error.next_step() == "restore it");
    }
}

TEST_CASE("the schema of a later version is refused") {
    for (const char* later : {"prebake.v2.Claim", "prebake.v10.Ownership", "prebake.v2"}) {
        CAPTURE(later);
        try {
            refuse_later_schema(later, "/some/claim.json", "install it");
            FAIL("it was not refused");
        } catch (const Error& error) {
            CHECK(error.code() == Errc::unsupported);
            CHECK(error.message().find("/some/claim.json") == 0);
            CHECK(error.next_step() == "install it");
        }
    }
    for (const char* other : {"prebake.v1.Claim", "prebake.v0.Claim", "prebake.vX.Claim",
                              "prebake.v.Claim", "another.v2.Claim", ""}) {
        CAPTURE(other);
        CHECK_NOTHROW(refuse_later_schema(other, "it", ""));
    }
}

}  // namespace
}  // namespace prebake
