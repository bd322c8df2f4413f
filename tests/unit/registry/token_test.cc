#include "agent/registry/token.h"

#include <doctest/doctest.h>

#include "agent/registry/retry.h"
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
    return fetch_token(http, query, credentials, registry, [] { return "log in"; }, {});
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
    query.realm += "?service=own";
    query.scopes.emplace_back("repository:b:pull");
    CHECK(token_get(query, std::nullopt).url ==
          "https://auth.example/token?service=own&service=reg.example"
          "&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull");
    query.service.clear();
    query.scopes = {"s"};
    query.realm = "https://auth.example";
    CHECK(token_get(query, std::nullopt).url == "https://auth.example?scope=s");
    for (const std::string open : {"https://auth.example/?", "https://auth.example/?a&"}) {
        query.realm = open;
        CHECK(token_get(query, std::nullopt).url == open + "scope=s");
    }
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
             Row{R"({"token":"t","expires_in":"300"})", "t", 300},
             Row{R"({"token":"t","expires_in":"soon"})", "t", 60},
             Row{R"({"token":"t","expires_in":null})", "t", 60},
             Row{R"({"token":"t","expires_in":1})", "t", 1},
             Row{R"({"token":"t","expires_in":1e3})", "t", 1000},
             Row{R"({"token":"t","expires_in":299.9})", "t", 299},
             Row{R"({"token":"t","expires_in":1e300})", "t", 86400},
             Row{R"({"token":"t","expires_in":9000000000})", "t", 86400},
             Row{R"({"token":null,"access_token":"t"})", "t", 60},
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
            CHECK(error_of([&] { parse_token(row.json, {}, {}); }).code() == Errc::corrupt);
        } else {
            const Token token = parse_token(row.json, {}, {});
            CHECK(token.value == row.token);
            CHECK(token.lifetime == std::chrono::seconds(row.seconds));
        }
    }
}

TEST_CASE("a token's age counts, unless the clocks cannot both be right") {
    const auto now = std::chrono::system_clock::from_time_t(1718950957);  // 2024-06-21 06:22:37 UTC
    struct Row {
        std::string issued_at;
        int seconds;
    };
    for (const Row& row : {
             Row{"2024-06-21T06:22:37Z", 300},
             Row{"2024-06-21T06:20:37Z", 180},
             Row{"2024-06-21T06:20:37.123456789Z", 180},
             Row{"2024-06-21T08:20:37+02:00", 180},
             Row{"2024-06-21T00:50:37.5-05:30", 180},
             Row{"2024-06-21T06:17:38Z", 1},
             Row{"2024-06-21T06:17:37Z", 300},
             Row{"1970-01-01T00:00:00Z", 300},
             Row{"2024-06-21T07:00:00Z", 300},
             Row{"9999-12-31T23:59:59Z", 300},
             Row{"0000-01-01T00:00:00Z", 300},
             Row{"2024-06-21 06:20:37", 300},
             Row{"2024-06-21T06:20:37", 300},
             Row{"2024-06-21T06:20:37+aa:bb", 300},
             Row{"yesterday", 300},
             Row{"", 300},
         }) {
        CAPTURE(row.issued_at);
        const std::string json =
            R"({"token":"t","expires_in":300,"issued_at":")" + row.issued_at + "\"}";
        CHECK(parse_token(json, {}, now).lifetime == std::chrono::seconds(row.seconds));
    }
}

TEST_CASE("a response without a token may say why, but it is not quoted") {
    struct Row {
        std::string body;
        const char* message;
    };
    for (const Row& row : {
             Row{"<!DOCTYPE html><html><title>Sign in</title>SECRET</html>",
                 "its response is not a JSON object (Sign in)"},
             Row{R"({"code":200,"message":"log in first","data":"SECRET"})",
                 "its response has no usable token (log in first)"},
             Row{"SECRET", "its response is not a JSON object"},
             Row{R"({"token":"SECRET two"})", "its response has no usable token"},
         }) {
        CAPTURE(row.body);
        CHECK(error_of([&] { parse_token(row.body, {}, {}); }).message() == row.message);
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

/// What a POST with the password gets.
Step post_answer(Step answer) {
    answer.method = http::Method::post;
    answer.url = kQuery.realm;
    answer.form = kPasswordForm;
    return answer;
}

/// What a GET with the password gets.
Step get_answer(Step answer) {
    answer.url = kGetUrl;
    answer.with = {{"Authorization", "Basic YWxpY2U6U0VDUkVUJj0rw7w="}};
    return answer;
}

TEST_CASE("whatever a service answers to the POST, a password is then sent by GET") {
    std::vector<Step> answers = {
        {.body = "<!DOCTYPE html><title>Sign in</title>"},
        {.body = R"({"code":200,"data":null})"},
        {.body = ""},
        {.status = 204},
        {.body = std::string(kMaxTokenBytes + 1, ' ')},
        {.status = 302, .headers = {{"Location", "https://auth.example/login"}}},
        {.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}},
        {.status = 429, .headers = {{"Retry-After", "60"}}},
        {.refuses = Error(Errc::unavailable, "auth.example:443 closed the connection")},
    };
    for (const int status : {400, 401, 403, 404, 405, 411, 415, 422, 500, 501, 502, 503}) {
        answers.push_back({.status = status});
    }
    for (const Step& answer : answers) {
        CAPTURE(answer.status);
        CAPTURE(answer.body.substr(0, 100));
        ScriptedHttp http({post_answer(answer), get_answer({.body = R"({"token":"t"})"})});
        const Token token = fetch(http, kPassword);
        CHECK(token.value == "t");
        CHECK(token.form == TokenForm::get);
    }
}

TEST_CASE("a service that does not answer, or cannot be trusted, gets no GET") {
    for (const Errc code :
         {Errc::timed_out, Errc::cancelled, Errc::not_found, Errc::permission_denied}) {
        ScriptedHttp http({post_answer({.refuses = Error(code, "it broke")})});
        CHECK(error_of([&] { fetch(http, kPassword); }).code() == code);
    }
}

TEST_CASE("the forms are tried in the order of the query") {
    TokenQuery query = kQuery;
    query.forms = {TokenForm::get, TokenForm::post};
    ScriptedHttp http({get_answer({.status = 405}), post_answer({.body = R"({"token":"t"})"})});
    const Token token = fetch(http, kPassword, query);
    CHECK(token.value == "t");
    CHECK(token.form == TokenForm::post);
}

TEST_CASE("a service that is known to take no POST gets none") {
    TokenQuery query = kQuery;
    query.forms = {TokenForm::get};
    ScriptedHttp http({get_answer({.body = R"({"token":"t"})"})});
    CHECK(fetch(http, kPassword, query).value == "t");
}

TEST_CASE("of two errors the more telling one is kept") {
    struct Row {
        std::string name;
        Step post;
        Step get;
        Errc code;
        const char* message;
    };
    const Row rows[] = {
        {"wrong password",
         {.status = 403, .body = "XSRF token missing"},
         {.status = 401, .body = R"({"errors":[{"code":"UNAUTHORIZED","message":"who?"}]})"},
         Errc::unauthenticated,
         "answers 401 Unauthorized (UNAUTHORIZED: who?)"},
        {"a service of POST alone",
         {.status = 400, .body = R"({"error":"invalid_grant","error_description":"locked"})"},
         {.status = 404},
         Errc::unauthenticated,
         "answers 400 Bad Request (invalid_grant: locked)"},
        {"a page for GET",
         {.status = 503, .body = "down"},
         {.body = "<title>Sign in</title>"},
         Errc::unavailable,
         "answers 503 Service Unavailable (down)"},
        {"GET is down, which may end",
         {.status = 403},
         {.status = 503},
         Errc::unavailable,
         "answers 503"},
        {"neither says anything",
         {.status = 405},
         {.body = "<title>Sign in</title>"},
         Errc::corrupt,
         "not a JSON object (Sign in)"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        ScriptedHttp http({post_answer(row.post), get_answer(row.get)});
        const Error error = error_of([&] { fetch(http, kPassword); });
        CHECK(error.code() == row.code);
        CHECK(contains(error.message(), "the token service auth.example:443"));
        CHECK(contains(error.message(), row.message));
    }
}

TEST_CASE("a Retry-After of the token service is kept, but not as the registry's response") {
    ScriptedHttp http({{.url = kGetUrl, .status = 503, .headers = {{"Retry-After", "7"}}}});
    try {
        fetch(http, std::nullopt);
        FAIL("no error");
    } catch (const ResponseError& error) {
        CHECK(error.status() == 0);
        CHECK(error.retry_after() == std::chrono::seconds(7));
    }
}

TEST_CASE("redirects of a GET are followed, with the password on its own host only") {
    const std::string moved = "https://auth.example/v2/token?x";
    const std::string elsewhere = "https://login.example/token?x";
    ScriptedHttp http({
        post_answer({.status = 301, .headers = {{"Location", moved}}}),
        get_answer({.status = 301, .headers = {{"Location", "/v2/token?x"}}}),
        {.url = moved,
         .with = {{"Authorization", "Basic YWxpY2U6U0VDUkVUJj0rw7w="}},
         .status = 307,
         .headers = {{"Location", elsewhere}}},
        {.url = elsewhere,
         .without = {"Authorization"},
         .body = R"({"token":"t"})",
         .has_time_limit = true,
         .allows_link_local = false},
    });
    CHECK(fetch(http, kPassword).value == "t");

    const Step circle{.url = kGetUrl, .status = 302, .headers = {{"Location", kGetUrl}}};
    ScriptedHttp endless(std::vector<Step>(11, circle));
    CHECK(error_of([&] { fetch(endless, std::nullopt); }).code() == Errc::unsupported);
    ScriptedHttp plain(
        {{.url = kGetUrl, .status = 302, .headers = {{"Location", "http://auth.example/token"}}}});
    CHECK(error_of([&] { fetch(plain, std::nullopt); }).code() == Errc::permission_denied);
}

TEST_CASE("a POST is repeated where its own host redirects it to") {
    for (const int status : {307, 308}) {
        CAPTURE(status);
        Step moved = post_answer({.body = R"({"token":"t"})"});
        moved.url = "https://auth.example/v2/token";
        ScriptedHttp http(
            {post_answer({.status = status, .headers = {{"Location", "/v2/token"}}}), moved});
        const Token token = fetch(http, kPassword);
        CHECK(token.value == "t");
        CHECK(token.form == TokenForm::post);
    }
    const Step circle = post_answer({.status = 307, .headers = {{"Location", kQuery.realm}}});
    std::vector<Step> steps(11, circle);
    steps.push_back(get_answer({.body = R"({"token":"t"})"}));
    ScriptedHttp endless(steps);
    CHECK(fetch(endless, kPassword).form == TokenForm::get);
}

TEST_CASE("a POST is not repeated to another host, and that is what the error says") {
    struct Row {
        const char* location;
        const char* message;
    };
    for (const Row& row : {Row{"https://login.example/token",
                               "auth.example:443 redirects to https://login.example:443, where the "
                               "credentials are not sent"},
                           Row{"https://auth.example:8443/token", "where the credentials are not"},
                           Row{"http://auth.example/token", "which is not encrypted"}}) {
        CAPTURE(row.location);
        const Step moved = post_answer({.status = 307, .headers = {{"Location", row.location}}});
        for (const int status : {401, 403, 404}) {
            CAPTURE(status);
            ScriptedHttp http({moved, get_answer({.status = status})});
            const Error error = error_of([&] { fetch(http, kPassword); });
            CHECK(error.code() == Errc::permission_denied);
            CHECK(contains(error.message(), row.message));
        }
        ScriptedHttp later({moved, get_answer({.status = 503})});
        CHECK(error_of([&] { fetch(later, kPassword); }).code() == Errc::unavailable);
        ScriptedHttp works({moved, get_answer({.body = R"({"token":"t"})"})});
        CHECK(fetch(works, kPassword).value == "t");
    }
    TokenQuery by_get = kQuery;
    by_get.forms = {TokenForm::get};
    ScriptedHttp get({get_answer({.status = 307, .headers = {{"Location", "https://l.example/"}}}),
                      {.url = "https://l.example/", .without = {"Authorization"}, .status = 401}});
    CHECK(contains(error_of([&] { fetch(get, kPassword, by_get); }).message(),
                   "the token service l.example:443, which gets no credentials because "
                   "auth.example:443 redirects to it, answers 401"));
}

TEST_CASE("a service that repeats what it was sent is not quoted with it") {
    const std::string repeated = "cannot use " + kPasswordForm;
    ScriptedHttp post(
        {post_answer({.status = 403, .body = repeated}), get_answer({.status = 404, .body = "x"})});
    const std::string message = error_of([&] { fetch(post, kPassword); }).message();
    CHECK(contains(message, "&password=…"));
    CHECK_FALSE(contains(message, "SECRET"));
    ScriptedHttp get({post_answer({.status = 404}),
                      get_answer({.body = R"({"message":"Basic YWxpY2U6U0VDUkVUJj0rw7w= ?"})"})});
    CHECK(contains(error_of([&] { fetch(get, kPassword); }).message(), "(Basic … ?)"));
}

TEST_CASE("the hint is looked up only if the service refuses") {
    int asked = 0;
    const auto fetch_from = [&](std::vector<Step> steps) {
        ScriptedHttp http(std::move(steps));
        fetch_token(http, kQuery, kPassword, kRegistry, [&] { return std::to_string(++asked); },
                    {});
    };
    fetch_from({post_answer({.status = 401}), get_answer({.body = R"({"token":"t"})"})});
    CHECK(asked == 0);
    error_of([&] { fetch_from({post_answer({.status = 404}), get_answer({.status = 503})}); });
    CHECK(asked == 0);
    const Error refused = error_of([&] {
        fetch_from({post_answer({.status = 401}), get_answer({.status = 403})});
    });
    CHECK(asked == 1);
    CHECK(refused.next_step() == "1");
}

TEST_CASE("an identity token is sent by POST only") {
    const std::string form =
        "grant_type=refresh_token&service=reg.example&client_id=prebake&scope=repository%3Aa%3Apull"
        "&refresh_token=SECRET-refresh";
    ScriptedHttp good({{.method = http::Method::post,
                        .url = kQuery.realm,
                        .form = form,
                        .body = R"({"access_token":"t","refresh_token":"other"})"}});
    CHECK(fetch(good, kIdentity).value == "t");
    ScriptedHttp another({{.method = http::Method::post,
                           .url = kQuery.realm,
                           .form = form,
                           .body = R"({"access_token":"t","refresh_token":"other"})"}});
    TokenQuery without_post = kQuery;
    without_post.forms = {TokenForm::get};
    CHECK(fetch(another, kIdentity, without_post).refresh_token == "other");
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
                           Row{400, Errc::unauthenticated}, Row{404, Errc::not_found},
                           Row{405, Errc::unsupported}}) {
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
          Row{"not http", "file:///etc/passwd", Errc::corrupt},
          Row{"no host", "https:///token", Errc::corrupt}}) {
        CAPTURE(row.name);
        query.realm = row.realm;
        ScriptedHttp http({});
        CHECK(error_of([&] { fetch(http, kPassword, query); }).code() == row.code);
    }
}

TEST_CASE("a realm may be relative to the registry, have a fragment, and need encoding") {
    struct Row {
        const char* realm;
        const char* url;
    };
    const std::string parameters = "service=reg.example&scope=repository%3Aa%3Apull";
    for (const Row& row : {
             Row{"/token", "https://reg.example/token?"},
             Row{"//auth.example/token?a=b", "https://auth.example/token?a=b&"},
             Row{"https://auth.example/the token#top", "https://auth.example/the%20token?"},
             Row{"?a=b#top", "https://reg.example?a=b&"},
         }) {
        CAPTURE(row.realm);
        TokenQuery query = kQuery;
        query.realm = row.realm;
        ScriptedHttp http({{.url = row.url + parameters, .body = R"({"token":"t"})"}});
        CHECK(fetch(http, std::nullopt, query).value == "t");
    }
}

TEST_CASE("a token service on the registry's host gets what hosts.toml has for it, others do not") {
    const Endpoint registry{.base_url = "https://reg.example:5000",
                            .tls = {.verification = http::TlsVerification::none,
                                    .ca_files = {"/ca"},
                                    .client_certificates = {{.certificate = "/c", .key = "/k"}}},
                            .headers = {{"X-Team", "storage"}, {"authorization", "Basic SECRET"}}};
    TokenQuery query = kQuery;
    query.realm = "https://reg.example/token";
    ScriptedHttp own(
        {{.url = "https://reg.example/token?service=reg.example&scope=repository%3Aa%3Apull",
          .with = {{"X-Team", "storage"}, {"Authorization", "Basic SECRET"}},
          .body = R"({"token":"t"})",
          .tls = http::TlsVerification::none}});
    CHECK(fetch(own, std::nullopt, query, registry).value == "t");
    ScriptedHttp other({{.method = http::Method::post,
                         .url = kQuery.realm,
                         .without = {"X-Team", "Authorization"},
                         .form = kPasswordForm,
                         .status = 404,
                         .tls = http::TlsVerification::system_trust_store},
                        {.url = kGetUrl,
                         .with = {{"Authorization", "Basic YWxpY2U6U0VDUkVUJj0rw7w="}},
                         .without = {"X-Team"},
                         .body = R"({"token":"t"})",
                         .tls = http::TlsVerification::system_trust_store}});
    CHECK(fetch(other, kPassword, kQuery, registry).value == "t");
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
