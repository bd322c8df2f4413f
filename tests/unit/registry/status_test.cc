#include "agent/registry/status.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"
#include "agent/registry/retry.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry {
namespace {

TEST_CASE("a registry's error document becomes one line") {
    struct Row {
        std::string name;
        std::string body;
        std::string expected;
    };
    const Row rows[] = {
        {"code and message", R"({"errors":[{"code":"DENIED","message":"no"}]})", "DENIED: no"},
        {"the first of two", R"({"errors":[{"code":"A"},{"code":"B"}]})", "A"},
        {"message alone", R"({"errors":[{"message":"no"}]})", "no"},
        {"control characters", R"({"errors":[{"message":"a\u001b[31m\nb\u009bc\u0000d"}]})",
         "a?[31m?b??c?d"},
        {"other text survives", R"({"errors":[{"message":"größer"}]})", "größer"},
        {"cut at 300 bytes", R"({"errors":[{"message":")" + std::string(400, 'x') + R"("}]})",
         std::string(297, 'x') + "..."},
        {"not cut inside a character",
         R"({"errors":[{"message":")" + std::string(296, 'x') + R"(ößxxx"}]})",
         std::string(296, 'x') + "..."},
        {"wrong types", R"({"errors":[{"code":1,"message":{}}]})", ""},
        {"errors is no list", R"({"errors":"x"})", ""},
        {"an empty list", R"({"errors":[]})", ""},
        {"a list of texts", R"({"errors":["x"]})", ""},
        {"another document", R"(["x"])", ""},
        {"HTML", "<html>", ""},
        {"nothing", "", ""},
        {"nested too deeply", std::string(5000, '['), ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(diagnosis(row.body) == row.expected);
    }
}

TEST_CASE("statuses become errors") {
    struct Row {
        int status;
        Errc code;
        const char* message;
        const char* next_step;
    };
    const std::string body = R"({"errors":[{"code":"X","message":"y"}]})";
    for (const Row& row : {
             Row{400, Errc::unsupported, "answers 400 which prebake does not expect (X: y)",
                 "check that this is an OCI registry"},
             Row{401, Errc::unauthenticated, "answers 401 Unauthorized (X: y)", "log in"},
             Row{403, Errc::permission_denied, "answers 403 Forbidden (X: y)", "log in"},
             Row{404, Errc::not_found, "answers 404 Not Found (X: y)",
                 "check its name, tag and digest"},
             Row{408, Errc::unavailable, "answers 408 Request Timeout (X: y)", "try again later"},
             Row{429, Errc::rate_limited, "answers 429 Too Many Requests (X: y)",
                 "try again later; many registries allow more to clients that log in"},
             Row{500, Errc::unavailable, "answers 500 Server Error (X: y)", "try again later"},
             Row{503, Errc::unavailable, "answers 503 Server Error (X: y)", "try again later"},
             Row{204, Errc::unsupported, "answers 204 which prebake does not expect (X: y)",
                 "check that this is an OCI registry"},
         }) {
        CAPTURE(row.status);
        ScriptedResponse response({.status = row.status, .body = body});
        try {
            throw_status(response, "the registry", "log in");
        } catch (const Error& error) {
            CHECK(error.code() == row.code);
            CHECK(error.message() == std::string("the registry ") + row.message);
            CHECK(error.next_step() == row.next_step);
        }
    }
}

TEST_CASE("the explanation of a status is optional") {
    for (const Step& step : {Step{.status = 500, .body = "x", .breaks_after = 0},
                             Step{.status = 500,
                             .body = R"({"errors":[{"code":"X"}],"p":")" +
                                     std::string(kMaxErrorBytes, 'x') + "\"}"}}) {
        ScriptedResponse response(step);
        CHECK_THROWS_WITH_AS(throw_status(response, "it", "log in"),
                             "it answers 500 Server Error; try again later", Error);
    }
}

TEST_CASE("the error has the Retry-After of the response") {
    ScriptedResponse response({.status = 429, .headers = {{"retry-after", "7"}}});
    try {
        throw_status(response, "it", "");
    } catch (const RetryLaterError& error) {
        CHECK(error.code() == Errc::rate_limited);
        CHECK(error.retry_after() == std::chrono::seconds(7));
    }
}

}  // namespace
}  // namespace prebake::registry
