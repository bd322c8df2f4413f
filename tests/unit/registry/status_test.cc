#include "agent/registry/status.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"
#include "agent/registry/diagnosis.h"
#include "agent/registry/retry.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry {
namespace {

TEST_CASE("statuses become errors") {
    struct Row {
        int status;
        Errc code;
        const char* message;
        const char* next_step;
    };
    const std::string body = R"({"errors":[{"code":"X","message":"y"}]})";
    const char* const ask = "ask the administrator of the registry if its reason is not clear";
    for (const Row& row : {
             Row{400, Errc::unsupported, "answers 400 Bad Request (X: y)", ask},
             Row{401, Errc::unauthenticated, "answers 401 Unauthorized (X: y)", "log in"},
             Row{402, Errc::permission_denied, "answers 402 Payment Required (X: y)", "log in"},
             Row{403, Errc::permission_denied, "answers 403 Forbidden (X: y)", "log in"},
             Row{404, Errc::not_found, "answers 404 Not Found (X: y)",
                 "check its name, tag and digest"},
             Row{408, Errc::unavailable, "answers 408 Request Timeout (X: y)", "try again later"},
             Row{410, Errc::not_found, "answers 410 Gone (X: y)", "check its name, tag and digest"},
             Row{412, Errc::failed_precondition, "answers 412 Precondition Failed (X: y)",
                 "ask the administrator of the registry, which has a rule against it"},
             Row{429, Errc::rate_limited, "answers 429 Too Many Requests (X: y)",
                 "try again later, or log in (docker login, or --authfile FILE): many registries "
                 "allow more to clients that do"},
             Row{500, Errc::unavailable, "answers 500 Internal Server Error (X: y)",
                 "try again later"},
             Row{501, Errc::unsupported, "answers 501 Not Implemented (X: y)", ask},
             Row{503, Errc::unavailable, "answers 503 Service Unavailable (X: y)",
                 "try again later"},
             Row{522, Errc::unavailable, "answers 522 (X: y)", "try again later"},
             Row{204, Errc::unsupported, "answers 204 (X: y)", ask},
         }) {
        CAPTURE(row.status);
        ScriptedResponse response({.status = row.status, .body = body});
        try {
            throw_status(response, "the registry", "log in");
        } catch (const ResponseError& error) {
            CHECK(error.status() == row.status);
            CHECK(error.code() == row.code);
            CHECK(error.message() == std::string("the registry ") + row.message);
            CHECK(error.next_step() == row.next_step);
        }
    }
}

Error error_for(const Step& step) {
    ScriptedResponse response(step);
    return error_of([&] { throw_status(response, "it", "log in"); });
}

TEST_CASE("a status without a reason is named, and a server that gives none may be no registry") {
    const Error error = error_for({.status = 400});
    CHECK(error.message() == "it answers 400 Bad Request");
    CHECK(contains(error.next_step(), "check that this is an OCI registry"));
    CHECK(error_for({.status = 404, .body = "Not Found\n"}).message() ==
          "it answers 404 Not Found");
    CHECK(error_for({.status = 403, .body = "<title>Blocked by the proxy</title>"}).message() ==
          "it answers 403 Forbidden (Blocked by the proxy)");
}

TEST_CASE("a challenge may give the reason, too") {
    const auto challenged = [](const std::string& parameters) {
        return error_for({.status = 401, .headers = {{"WWW-Authenticate", "Bearer " + parameters}}})
            .message();
    };
    CHECK(challenged(R"(realm="https://t",error="insufficient_scope")") ==
          "it answers 401 Unauthorized (insufficient_scope)");
    CHECK(challenged(R"(error="invalid_token",error_description="it has expired")") ==
          "it answers 401 Unauthorized (it has expired)");
}

TEST_CASE("a refused password is not a response that another request may improve") {
    for (const std::string scheme : {"Basic realm=\"r\"", "Bearer realm=\"https://t\"", ""}) {
        CAPTURE(scheme);
        ScriptedResponse response({.status = 401, .headers = {{"WWW-Authenticate", scheme}}});
        try {
            throw_status(response, "it", "log in");
        } catch (const Error& error) {
            CHECK(error.code() == Errc::unauthenticated);
            const bool is_plain = dynamic_cast<const ResponseError*>(&error) == nullptr;
            CHECK(is_plain == scheme.starts_with("Basic"));
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
                             "it answers 500 Internal Server Error; try again later", Error);
    }
}

TEST_CASE("the error has the Retry-After of the response") {
    ScriptedResponse response({.status = 429, .headers = {{"retry-after", "7"}}});
    try {
        throw_status(response, "it", "");
    } catch (const ResponseError& error) {
        CHECK(error.code() == Errc::rate_limited);
        CHECK(error.retry_after() == std::chrono::seconds(7));
    }
}

}  // namespace
}  // namespace prebake::registry
