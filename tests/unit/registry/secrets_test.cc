#include "agent/registry/secrets.h"

#include <doctest/doctest.h>

#include "agent/registry/diagnosis.h"
#include "agent/registry/status.h"
#include "agent/registry/token.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry::secrets_test {

const Credentials kPassword{.username = "u",
                            .password = "S3 \"<\\&+%ü/pw",
                            .identity_token = {},
                            .registry_token = {},
                            .note = {}};
const Credentials kIdentity{.username = {},
                            .password = {},
                            .identity_token = "SECRET+refresh",
                            .registry_token = {},
                            .note = {}};
const TokenQuery kQuery{.realm = "https://auth.example/t", .service = "s", .scopes = {"r"}};

http::Request with_header(const std::string& name, const std::string& value) {
    return {.method = http::Method::get,
            .url = "https://reg.example/v2/",
            .headers = {{"Accept", "a"}, {name, value}},
            .body = {}};
}

std::string shown(const http::Request& request, const std::string& body) {
    return diagnosis(body, secrets_in(request));
}

TEST_CASE("what a request showed is not repeated, however it is written") {
    const http::Request get = token_get(kQuery, kPassword);
    const http::Request post = token_post(kQuery, kPassword);
    const http::Request refresh = token_post(kQuery, kIdentity);
    const http::Request bearer = with_header("Authorization", "Bearer SECRET.jwt-_");
    const http::Request basic = with_header("authorization", "basic dTpTRUNSRVQ=");
    const http::Request own = with_header("PRIVATE-TOKEN", "SECRET");
    http::Request moved = with_header("Range", "bytes=5-");
    moved.url = "https://u:SE%43RET@cdn.example/b?X-Sig=S1%2F&e=5";
    const std::string pair = basic_authorization(kPassword).substr(6);
    struct Row {
        std::string name;
        http::Request request;
        std::string body;
        std::string expected;
    };
    const std::vector<Row> rows = {
        {"a form", post, "denied: " + post.body,
         "denied: grant_type=password&service=s&client_id=prebake&scope=r&username=u&password=…"},
        {"a form of another encoder", post, "password=S3+%22%3c%5C%26%2b%25%c3%bc/pw&x",
         "password=…&x"},
        {"a form without pluses", post, "password=S3%20%22%3C%5C%26+%25%C3%BC/pw", "password=…"},
        {"a password", post, R"(wrong password 'S3 "<\&+%ü/pw')", "wrong password '…'"},
        {"a password in JSON", post, R"({"message":"wrong: S3 \"<\\&+%\u00fc\/pw!","error":"E"})",
         "E: wrong: …!"},
        {"a password in JSON in JSON", post,
         R"({"message":"{\"password\":\"S3 \\\"<\\\\&+%\\u00fc\/pw\"}"})", R"({"password":"…"})"},
        {"a password in a page", post, "<title>S3 &quot;&lt;\\&amp;+%ü/pw is wrong</title>",
         "… is wrong"},
        {"a password in escapes in JSON", post,
         R"({"message":"no S3 &#34;&lt;\\&amp;&#x2b;%ü/pw"})", "no …"},
        {"a password across lines", post, "S3\n  \"<\\&+%ü/pw.", "…."},
        {"an identity token", refresh, "refresh_token=SECRET%2Brefresh, SECRET+refresh",
         "refresh_token=…, …"},
        {"Basic", get, R"({"message":"cannot parse header Basic )" + pair + "\"}",
         "cannot parse header Basic …"},
        {"Basic without its padding", basic, "Basic dTpTRUNSRVQ, dTpTRUNSRVQ=", "Basic …, …"},
        {"a pair", basic, "no user u:SECRET", "no user …"},
        {"the password of a pair", basic, "u has no password SECRET", "u has no password …"},
        {"Bearer", bearer, "no key for SECRET.jwt-_ in Bearer", "no key for … in Bearer"},
        {"a detail", bearer, R"({"errors":[{"code":"C","detail":{"token":"SECRET.jwt-_"}}]})",
         "C (token: …)"},
        {"a header of a hosts.toml", own, "unknown: SECRET", "unknown: …"},
        {"our own headers", moved, "a bytes=5-", "a bytes=5-"},
        {"a signed URL", moved, "<h1>403</h1>/b?X-Sig=S1%2F&amp;e=5 is over", "403 /b?… is over"},
        {"a name in a URL", moved, "u may not: SECRET", "u may not: …"},
        {"at the end of what is shown", own, std::string(295, 'x') + "SECRET",
         std::string(295, 'x') + "…"},
        {"twice, side by side", own, "SECRETSECRET SECRE", "… SECRE"},
        {"not half of an escape", own, "% %4 \\ \\u12 & &#; &#999; &x;",
         "% %4 \\ \\u12 & &#; &#999; &x;"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(shown(row.request, row.body) == row.expected);
    }
}

TEST_CASE("a request without secrets hides nothing") {
    CHECK(shown(with_header("Authorization", ""), "any text") == "any text");
    CHECK(shown(with_header("Authorization", "Basic ?"), "any text") == "any text");
    CHECK(shown(with_header("Authorization", "Basic dQ=="), "any text") == "any text");
}

TEST_CASE("an error status does not repeat what was sent, in its body or its challenge") {
    for (const Step& step :
         {Step{.status = 403, .body = R"({"message":"bad \u0053ECRET"})"},
          Step{.status = 403,
          .headers = {{"WWW-Authenticate", R"(Bearer error_description="bad SECRET")"}}}}) {
        ScriptedResponse response(step);
        response.secrets = {"SECRET"};
        CHECK(error_of([&] { throw_status(response, "it", "log in"); }).message() ==
              "it answers 403 Forbidden (bad …)");
    }
}

}  // namespace prebake::registry::secrets_test
