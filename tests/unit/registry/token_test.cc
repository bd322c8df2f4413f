#include "agent/registry/token.h"

#include <doctest/doctest.h>

#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry {
namespace {

const Credentials kPassword{.username = "alice",
                            .password = "SECRET&=+ü",
                            .identity_token = {},
                            .registry_token = {},
                            .note = {}};
const Credentials kIdentity{.username = {},
                            .password = {},
                            .identity_token = "SECRET-refresh",
                            .registry_token = {},
                            .note = {}};
const Endpoint kRegistry{.base_url = "https://reg.example"};
const TokenQuery kQuery{.realm = "https://auth.example/token",
                        .service = "reg.example",
                        .scopes = {"repository:a:pull"}};
const std::string kGetUrl =
    "https://auth.example/token?service=reg.example&scope=repository%3Aa%3Apull";
const std::string kPasswordForm =
    "grant_type=password&service=reg.example&client_id=prebake&scope=repository%3Aa%3Apull"
    "&username=alice&password=SECRET%26%3D%2B%C3%BC";

Token fetch(http::Client& http, const std::optional<Credentials>& credentials,
            const TokenQuery& query = kQuery, const Endpoint& registry = kRegistry) {
    return fetch_token(http, query, credentials, registry, "log in", {});
}

TEST_CASE("the scopes are ours and the challenge's, sorted, each once") {
    struct Row {
        std::string offered;
        std::vector<std::string> expected;
    };
    const std::vector<Row> rows = {
        {"", {"repository:m:pull"}},
        {"repository:m:pull", {"repository:m:pull"}},
        {"repository:z:pull  repository:a:pull,push ",
         {"repository:a:pull,push", "repository:m:pull", "repository:z:pull"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.offered);
        const Challenge challenge{.scheme = "bearer", .parameters = {{"scope", row.offered}}};
        CHECK(token_query(challenge, "repository:m:pull").scopes == row.expected);
    }
}

TEST_CASE("the GET has each scope and the query of the realm") {
    TokenQuery query = kQuery;
    query.realm += "?x=1#fragment";
    query.scopes.emplace_back("repository:b:pull");
    CHECK(token_get(query, std::nullopt).url ==
          "https://auth.example/token?x=1&service=reg.example&scope=repository%3Aa%3Apull"
          "&scope=repository%3Ab%3Apull");
    query.service.clear();
    query.scopes = {"s"};
    query.realm = "https://auth.example";
    CHECK(token_get(query, std::nullopt).url == "https://auth.example?scope=s");
}

TEST_CASE("responses of a token service") {
    struct Row {
        std::string json;
        const char* token;  ///< null: corrupt
        int seconds;
    };
    for (const Row& row : {
             Row{R"({"token":"t"})", "t", 60},
             Row{R"({"access_token":"t","expires_in":300})", "t", 300},
             Row{R"({"token":"","access_token":"t"})", "t", 60},
             Row{R"({"token":"t","access_token":"u"})", "t", 60},
             Row{R"({"token":"t","expires_in":0})", "t", 60},
             Row{R"({"token":"t","expires_in":-1})", "t", 60},
             Row{R"({"token":"t","expires_in":"300"})", "t", 60},
             Row{R"({"token":"t","expires_in":1e300})", "t", 60},
             Row{R"({"token":"t","expires_in":9000000000})", "t", 86400},
             Row{R"({"token":"SECRET\r\nX: y"})", nullptr, 0},
             Row{R"({"token":"SECRET two"})", nullptr, 0},
             Row{R"({"token":1})", nullptr, 0},
             Row{R"({})", nullptr, 0},
             Row{R"(["SECRET"])", nullptr, 0},
             Row{R"({"token":"SECRET)", nullptr, 0},
             Row{"", nullptr, 0},
         }) {
        CAPTURE(row.json);
        if (row.token == nullptr) {
            CHECK(error_of([&] { parse_token(row.json); }).code() == Errc::corrupt);
        } else {
            const Token token = parse_token(row.json);
            CHECK(token.value == row.token);
            CHECK(token.lifetime == std::chrono::seconds(row.seconds));
        }
    }
}

TEST_CASE("an anonymous token is one GET without authorization") {
    ScriptedHttp http({{.url = kGetUrl, .without = {"Authorization"}, .body = R"({"token":"t"})"}});
    CHECK(fetch(http, std::nullopt).value == "t");
}

TEST_CASE("a token service has a time limit, and no link-local address") {
    ScriptedHttp http({{.method = http::Method::post,
                        .url = kQuery.realm,
                        .form = kPasswordForm,
                        .status = 404,
                        .has_time_limit = true,
                        .allows_link_local = false},
                       {.url = kGetUrl,
                        .body = R"({"token":"t"})",
                        .has_time_limit = true,
                        .allows_link_local = false}});
    CHECK(fetch(http, kPassword).value == "t");
}

TEST_CASE("a password is sent by POST") {
    ScriptedHttp http({{.method = http::Method::post,
                        .url = kQuery.realm,
                        .with = {{"Content-Type", "application/x-www-form-urlencoded"}},
                        .form = kPasswordForm,
                        .body = R"({"access_token":"t"})"}});
    CHECK(fetch(http, kPassword).value == "t");
}

TEST_CASE("a password is sent by GET if the service does not support POST") {
    for (const int status : {404, 405, 401, 400}) {
        CAPTURE(status);
        ScriptedHttp http({{.method = http::Method::post,
                            .url = kQuery.realm,
                            .form = kPasswordForm,
                            .status = status},
                           {.url = kGetUrl,
                            .with = {{"Authorization", "Basic YWxpY2U6U0VDUkVUJj0rw7w="}},
                            .body = R"({"token":"t"})"}});
        CHECK(fetch(http, kPassword).value == "t");
    }
}

TEST_CASE("an identity token is sent by POST only") {
    const std::string form =
        "grant_type=refresh_token&service=reg.example&client_id=prebake&scope=repository%3Aa%3Apull"
        "&refresh_token=SECRET-refresh";
    ScriptedHttp good({{.method = http::Method::post,
                        .url = kQuery.realm,
                        .form = form,
                        .body = R"({"access_token":"t"})"}});
    CHECK(fetch(good, kIdentity).value == "t");
    ScriptedHttp expired(
        {{.method = http::Method::post, .url = kQuery.realm, .form = form, .status = 400}});
    const Error error = error_of([&] { fetch(expired, kIdentity); });
    CHECK(error.code() == Errc::unauthenticated);
    CHECK(error.next_step() == "log in");
}

TEST_CASE("error statuses of the token service") {
    struct Row {
        int status;
        Errc code;
    };
    for (const Row& row : {Row{401, Errc::unauthenticated}, Row{403, Errc::unauthenticated},
                           Row{429, Errc::rate_limited}, Row{503, Errc::unavailable},
                           Row{404, Errc::not_found}, Row{302, Errc::unsupported}}) {
        CAPTURE(row.status);
        ScriptedHttp http({{.url = kGetUrl, .status = row.status}});
        const Error error = error_of([&] { fetch(http, std::nullopt); });
        CHECK(error.code() == row.code);
        CHECK(contains(error.message(), "the token service auth.example:443"));
    }
}

TEST_CASE("a response over the limit is not read") {
    ScriptedHttp http({{.url = kGetUrl, .body = std::string(kMaxTokenBytes + 1, ' ')}});
    CHECK(error_of([&] { fetch(http, std::nullopt); }).code() == Errc::too_large);
}

TEST_CASE("nothing is sent to a realm that is less secure than the registry") {
    TokenQuery query = kQuery;
    struct Row {
        std::string name;
        const char* realm;
        Errc code;
    };
    for (const Row& row :
         {Row{"plain", "http://auth.example/token", Errc::permission_denied},
          Row{"plain on loopback", "http://localhost/token", Errc::permission_denied},
          Row{"not http", "file:///etc/passwd", Errc::usage},
          Row{"relative", "/token", Errc::usage}}) {
        CAPTURE(row.name);
        query.realm = row.realm;
        ScriptedHttp http({});
        CHECK(error_of([&] { fetch(http, kPassword, query); }).code() == row.code);
    }
}

TEST_CASE("a plain registry on loopback may name a plain realm") {
    const Endpoint plain{.base_url = "http://localhost:5000",
                         .tls = {.verification = http::TlsVerification::none}};
    TokenQuery query = kQuery;
    query.realm = "http://localhost:5001/token";
    ScriptedHttp http(
        {{.url = "http://localhost:5001/token?service=reg.example&scope=repository%3Aa%3Apull",
          .body = R"({"token":"t"})",
          .tls = http::TlsVerification::none}});
    CHECK(fetch(http, std::nullopt, query, plain).value == "t");
    ScriptedHttp elsewhere({{.url = kGetUrl,
                             .body = R"({"token":"t"})",
                             .tls = http::TlsVerification::system_trust_store}});
    CHECK(fetch(elsewhere, std::nullopt, kQuery, plain).value == "t");
}

}  // namespace
}  // namespace prebake::registry
