#include "agent/registry/request_sender.h"

#include <doctest/doctest.h>

#include "agent/registry/credential_chain.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry::request_sender_test {

const oci::Reference kRepository = oci::Reference::parse("reg.example/a:1");
const oci::Reference kLocal = oci::Reference::parse("localhost:5000/a:1");
const RepositoryRequest kRequest{
    .method = http::Method::get, .path = "blobs/x", .headers = {{"Range", "bytes=5-"}}};
const std::string kUrl = "https://reg.example/v2/a/blobs/x";
const std::string kTokenUrl = "https://auth.example/t?service=s&scope=repository%3Aa%3Apull";
const http::Headers kBearer = {{"WWW-Authenticate",
                                R"(Bearer realm="https://auth.example/t",service="s",)"
                                R"(scope="repository:a:pull")"}};
const http::Headers kInvalidToken = {
    {"WWW-Authenticate",
     R"(Bearer realm="https://auth.example/t",service="s",error="invalid_token")"}};

Credentials password() {
    Credentials credentials;
    credentials.username = "u";
    credentials.password = "SECRET";
    return credentials;
}

RequestSender sender(std::vector<Step> steps,
                     std::shared_ptr<CredentialSource> credentials = FixedCredentials::none()) {
    return RequestSender(std::make_shared<ScriptedHttp>(std::move(steps)), std::move(credentials));
}

Step redirect(std::string from, std::string to, int status = 307) {
    return Step{.url = std::move(from), .status = status, .headers = {{"Location", std::move(to)}}};
}

TEST_CASE("a token is fetched for a challenge, and used again") {
    auto registry = sender({
        {.url = kUrl, .without = {"Authorization"}, .status = 401, .headers = kBearer},
        {.url = kTokenUrl, .body = R"({"token":"t1"})"},
        {.url = kUrl, .with = {{"Authorization", "Bearer t1"}, {"Range", "bytes=5-"}}},
        {.url = kUrl, .with = {{"Authorization", "Bearer t1"}}},
    });
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);
}

TEST_CASE("a token that the registry refuses is fetched again, once") {
    auto registry = sender({
        {.url = kUrl, .status = 401, .headers = kBearer},
        {.url = kTokenUrl, .body = R"({"token":"SECRET1"})"},
        {.url = kUrl, .with = {{"Authorization", "Bearer SECRET1"}}},
        {.url = kUrl, .status = 401, .headers = kInvalidToken},
        {.url = kTokenUrl, .body = R"({"token":"SECRET2"})"},
        {.url = kUrl, .with = {{"Authorization", "Bearer SECRET2"}}},
        {.url = kUrl, .status = 401, .headers = kInvalidToken},
        {.url = kTokenUrl, .body = R"({"token":"SECRET3"})"},
        {.url = kUrl, .status = 401, .headers = kInvalidToken},
    });
    registry.send(kRepository, kRequest, {});
    registry.send(kRepository, kRequest, {});
    const Error error = error_of([&] { registry.send(kRepository, kRequest, {}); });
    CHECK(error.code() == Errc::unauthenticated);
}

TEST_CASE("401 and 403 lead to a hint about credentials") {
    Credentials helper;
    helper.note = "the Docker config names the credential helper \"ecr-login\"";
    struct Row {
        std::string name;
        int status;
        std::shared_ptr<CredentialSource> credentials;
        Errc code;
        const char* next_step;
    };
    for (const Row& row : {
             Row{"401, anonymous", 401, FixedCredentials::none(), Errc::unauthenticated,
                 "there are no credentials for reg.example (docker login reg.example, or"},
             Row{"403, anonymous", 403, FixedCredentials::none(), Errc::permission_denied,
                 "there are no credentials for reg.example (docker login reg.example, or"},
             Row{"401, helper", 401, FixedCredentials::of(helper), Errc::unauthenticated,
                 "credential helper \"ecr-login\""},
         }) {
        CAPTURE(row.name);
        auto registry = sender(
            {
                {.url = kUrl, .status = 401, .headers = kBearer},
                {.url = kTokenUrl, .body = R"({"token":"SECRET"})"},
                {.url = kUrl,
                 .status = row.status,
                 .body = R"({"errors":[{"code":"DENIED","message":"requested access denied"}]})"},
            },
            row.credentials);
        const Error error = error_of([&] { registry.send(kRepository, kRequest, {}); });
        CHECK(error.code() == row.code);
        CHECK(contains(error.message(), "does not exist or may not be pulled"));
        CHECK(contains(error.message(), "DENIED: requested access denied"));
        CHECK(contains(error.next_step(), row.next_step));
    }
    auto registry = sender(
        {
            {.url = kUrl, .status = 401, .headers = {{"WWW-Authenticate", "Basic"}}},
            {.url = kUrl, .with = {{"Authorization", "Basic dTpTRUNSRVQ="}}, .status = 401},
        },
        FixedCredentials::of(password()));
    const Error error = error_of([&] { registry.send(kRepository, kRequest, {}); });
    CHECK(contains(error.next_step(), "the credentials for reg.example from the test"));
}

TEST_CASE("redirects to another host or port drop the authorization, also on the way back") {
    for (const std::string elsewhere :
         {"https://cdn.example/b?sig=SECRET", "https://reg.example:8443/b"}) {
        CAPTURE(elsewhere);
        auto registry = sender({
            {.url = kUrl, .status = 401, .headers = kBearer},
            {.url = kTokenUrl, .body = R"({"token":"t"})"},
            redirect(kUrl, elsewhere),
            {.url = elsewhere,
             .with = {{"Range", "bytes=5-"}},
             .without = {"Authorization"},
             .status = 302,
             .headers = {{"Location", "https://reg.example/back"}}},
            {.url = "https://reg.example/back", .without = {"Authorization"}},
        });
        CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    }
}

TEST_CASE("redirects within the registry keep the authorization") {
    for (const int status : {301, 302, 303, 307, 308}) {
        CAPTURE(status);
        auto registry = sender({
            {.url = kUrl, .status = 401, .headers = kBearer},
            {.url = kTokenUrl, .body = R"({"token":"t"})"},
            redirect(kUrl, "/elsewhere", status),
            {.url = "https://reg.example/elsewhere", .with = {{"Authorization", "Bearer t"}}},
        });
        CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    }
}

TEST_CASE("only the registry itself may have a link-local address") {
    for (const std::string target : {"https://cdn.example/b", "https://reg.example/b"}) {
        CAPTURE(target);
        auto registry = sender({
            {.url = kUrl, .status = 401, .headers = kBearer, .allows_link_local = true},
            {.url = kTokenUrl, .body = R"({"token":"t"})", .allows_link_local = false},
            redirect(kUrl, target),
            {.url = target, .allows_link_local = false},
        });
        CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    }
}

TEST_CASE("a deadline is for the redirects as well") {
    RepositoryRequest limited = kRequest;
    limited.deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    const auto steps = [](bool has_time_limit) {
        Step first = redirect(kUrl, "https://cdn.example/b");
        first.has_time_limit = has_time_limit;
        return std::vector<Step>{
            first, {.url = "https://cdn.example/b", .has_time_limit = has_time_limit}};
    };
    CHECK(sender(steps(true)).send(kRepository, limited, {})->status == 200);
    CHECK(sender(steps(false)).send(kRepository, kRequest, {})->status == 200);
}

TEST_CASE("the URL of a redirect brings its own authorization, for its host only") {
    const std::string with_user = "https://u:SECRET@cdn.example/b";
    const http::Headers basic = {{"Authorization", "Basic dTpTRUNSRVQ="}};
    auto elsewhere = sender({
        redirect(kUrl, with_user),
        {.url = with_user,
         .with = basic,
         .status = 302,
         .headers = {{"Location", "https://other.example/c"}}},
        {.url = "https://other.example/c", .without = {"Authorization"}},
    });
    CHECK(elsewhere.send(kRepository, kRequest, {})->status == 200);
    // A token is worth more than a name in a URL.
    auto within = sender({
        {.url = kUrl, .status = 401, .headers = kBearer},
        {.url = kTokenUrl, .body = R"({"token":"t"})"},
        redirect(kUrl, "https://u:SECRET@reg.example/b"),
        {.url = "https://u:SECRET@reg.example/b", .with = {{"Authorization", "Bearer t"}}},
    });
    CHECK(within.send(kRepository, kRequest, {})->status == 200);
}

TEST_CASE("a token that lacks a scope is replaced by one that has it") {
    const http::Headers wanted = {{"WWW-Authenticate",
                                   R"(Bearer realm="https://auth.example/t",service="s",)"
                                   R"(scope="repository:b:pull",error="insufficient_scope")"}};
    for (const int status : {401, 403}) {
        CAPTURE(status);
        auto registry = sender({
            {.url = kUrl, .status = 401, .headers = kBearer},
            {.url = kTokenUrl, .body = R"({"token":"t1"})"},
            {.url = kUrl, .with = {{"Authorization", "Bearer t1"}}},
            {.url = kUrl, .status = status, .headers = wanted},
            {.url = kTokenUrl + "&scope=repository%3Ab%3Apull", .body = R"({"token":"t2"})"},
            {.url = kUrl, .with = {{"Authorization", "Bearer t2"}}},
        });
        registry.send(kRepository, kRequest, {});
        CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    }
}

TEST_CASE("redirects that must not be followed") {
    struct Row {
        std::string name;
        http::Headers headers;
        Errc code;
    };
    const std::vector<Row> rows = {
        {"out of TLS", {{"Location", "http://cdn.example/SECRET"}}, Errc::permission_denied},
        {"out of TLS on the same host",
         {{"Location", "http://reg.example/"}},
         Errc::permission_denied},
        {"to a file", {{"Location", "file:///SECRET"}}, Errc::corrupt},
        {"malformed", {{"Location", "https://a b/?SECRET"}}, Errc::corrupt},
        {"nowhere", {}, Errc::corrupt},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        auto registry = sender({{.url = kUrl, .status = 307, .headers = row.headers}});
        CHECK(error_of([&] { registry.send(kRepository, kRequest, {}); }).code() == row.code);
    }
}

TEST_CASE("ten redirects are followed, the eleventh is an error") {
    const std::vector<Step> eleven(11, redirect(kUrl, kUrl));
    auto too_many = sender(eleven);
    CHECK(error_of([&] { too_many.send(kRepository, kRequest, {}); }).code() == Errc::unsupported);
    std::vector<Step> ten(10, redirect(kUrl, kUrl));
    ten.push_back({.url = kUrl});
    auto enough = sender(ten);
    CHECK(enough.send(kRepository, kRequest, {})->status == 200);
}

TEST_CASE("an error status names the redirect's target") {
    for (const int status : {401, 403, 416, 503}) {
        CAPTURE(status);
        auto registry = sender(
            {redirect(kUrl, "https://cdn.example/b?sig=SECRET"),
             {.url = "https://cdn.example/b?sig=SECRET", .status = status, .headers = kBearer}});
        const Error error = error_of([&] { registry.send(kRepository, kRequest, {}); });
        CHECK(contains(error.message(), "cdn.example:443, where the registry redirects to,"));
    }
}

TEST_CASE("a registry that repeats what it was sent is not quoted with it") {
    auto basic = sender({{.url = kUrl, .status = 401, .headers = {{"WWW-Authenticate", "Basic"}}},
                         {.url = kUrl,
                          .status = 403,
                          .body = R"({"message":"cannot parse header Basic dTpTRUNSRVQ="})"}},
                        FixedCredentials::of(password()));
    CHECK(contains(error_of([&] { basic.send(kRepository, kRequest, {}); }).message(),
                   "(cannot parse header Basic …)"));
    const std::string storage = "https://cdn.example/b?sig=SECRET";
    auto redirected = sender(
        {redirect(kUrl, storage), {.url = storage, .status = 403, .body = "no: " + storage}});
    CHECK(contains(error_of([&] { redirected.send(kRepository, kRequest, {}); }).message(),
                   "(no: https://cdn.example/b?…)"));
    auto page = sender({{.url = kUrl, .status = 401, .headers = kBearer},
                        {.url = kTokenUrl, .body = R"({"token":"SECRET"})"},
                        {.url = kUrl}});
    CHECK(page.send(kRepository, kRequest, {})->secrets == std::vector<std::string>{"SECRET", ""});
}

TEST_CASE("a loopback registry is tried with TLS first, later where it responded") {
    const std::string secure = "https://localhost:5000/v2/a/blobs/x";
    const std::string plain = "http://localhost:5000/v2/a/blobs/x";
    const Error refused(Errc::unavailable, "the TLS handshake failed");
    SUBCASE("plain") {
        auto registry = sender({
            {.url = secure, .refuses = refused, .tls = http::TlsVerification::none},
            {.url = plain},
            {.url = plain},
            {.url = plain, .refuses = refused},
        });
        CHECK(registry.send(kLocal, kRequest, {})->status == 200);
        CHECK(registry.send(kLocal, kRequest, {})->status == 200);
        CHECK(error_of([&] { registry.send(kLocal, kRequest, {}); }).code() == Errc::unavailable);
    }
    SUBCASE("TLS") {
        auto registry = sender({{.url = secure}, {.url = secure, .refuses = refused}});
        CHECK(registry.send(kLocal, kRequest, {})->status == 200);
        CHECK(error_of([&] { registry.send(kLocal, kRequest, {}); }).code() == Errc::unavailable);
    }
    SUBCASE("an error status is a response") {
        auto registry = sender({{.url = secure, .status = 503}});
        CHECK(error_of([&] { registry.send(kLocal, kRequest, {}); }).code() == Errc::unavailable);
    }
    SUBCASE("neither") {
        auto registry = sender({{.url = secure, .refuses = refused},
                                {.url = plain, .refuses = Error(Errc::unavailable, "refused")}});
        CHECK(error_of([&] { registry.send(kLocal, kRequest, {}); }).message() == "refused");
    }
    SUBCASE("other failures do not mean that there is no TLS") {
        auto registry = sender({{.url = secure, .refuses = Error(Errc::cancelled, "stop")}});
        CHECK(error_of([&] { registry.send(kLocal, kRequest, {}); }).code() == Errc::cancelled);
    }
}

/// With the mirrors m1.example and m2.example, and the registry.
RequestSender with_mirrors(std::vector<Step> steps, std::vector<Endpoint> endpoints = {},
                           std::shared_ptr<CredentialSource> credentials = FixedCredentials::none(),
                           RequestSender::Clock clock = std::chrono::steady_clock::now) {
    if (endpoints.empty()) {
        endpoints = {{.base_url = "https://m1.example", .mirror_of = "reg.example"},
                     {.base_url = "http://m2.example", .mirror_of = "reg.example"},
                     {.base_url = "https://reg.example"}};
    }
    return RequestSender(
        std::make_shared<ScriptedHttp>(std::move(steps)), std::move(credentials),
        [endpoints](std::string_view) { return endpoints; }, std::move(clock));
}

const std::string kFirst = "https://m1.example/v2/a/blobs/x?ns=reg.example";
const std::string kSecond = "http://m2.example/v2/a/blobs/x?ns=reg.example";
const Error kRefused(Errc::unavailable, "connection refused");

TEST_CASE("after any failure the next host is tried") {
    for (const int status : {400, 401, 403, 404, 429, 500, 503}) {
        CAPTURE(status);
        auto registry = with_mirrors(
            {{.url = kFirst, .status = status}, {.url = kSecond, .status = 404}, {.url = kUrl}});
        CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    }
    auto registry = with_mirrors({{.url = kFirst, .refuses = kRefused}, {.url = kSecond}});
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);
}

TEST_CASE("the last host's failure counts, and those before it are named") {
    auto registry = with_mirrors({{.url = kFirst, .status = 503},
                                  {.url = kSecond, .refuses = Error(Errc::not_found, "no name")},
                                  {.url = kUrl, .status = 404}});
    const Error error = error_of([&] { registry.send(kRepository, kRequest, {}); });
    CHECK(error.code() == Errc::not_found);
    CHECK(error.message().starts_with("https://reg.example: "));
    CHECK(contains(error.message(), "; and https://m1.example: "));
    CHECK(contains(error.message(), "503"));
    CHECK(contains(error.message(), "; and http://m2.example: no name"));
}

TEST_CASE("a stop ends the search for a host") {
    auto registry = with_mirrors({{.url = kFirst, .refuses = Error(Errc::cancelled, "stop")}});
    CHECK(error_of([&] { registry.send(kRepository, kRequest, {}); }).code() == Errc::cancelled);
}

TEST_CASE("a host that could not be reached comes last for a minute") {
    auto now = std::chrono::steady_clock::now();
    auto registry = with_mirrors({{.url = kFirst, .refuses = kRefused},
                                  {.url = kSecond},
                                  {.url = kSecond, .status = 404},
                                  {.url = kUrl, .status = 404},
                                  {.url = kFirst},
                                  {.url = kFirst, .status = 404},
                                  {.url = kSecond}},
                                 {}, FixedCredentials::none(), [&] { return now; });
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);  // by the first, which is last
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    auto later =
        with_mirrors({{.url = kFirst, .refuses = kRefused}, {.url = kSecond}, {.url = kFirst}}, {},
                     FixedCredentials::none(), [&] { return now; });
    CHECK(later.send(kRepository, kRequest, {})->status == 200);
    now += std::chrono::seconds(61);
    CHECK(later.send(kRepository, kRequest, {})->status == 200);
}

TEST_CASE("capabilities decide which hosts are asked") {
    RepositoryRequest tag = kRequest;
    tag.resolves = true;
    Endpoint first{.base_url = "https://m1.example", .mirror_of = "reg.example"};
    Endpoint itself{.base_url = "https://reg.example"};
    SUBCASE("for a tag, those that resolve") {
        first.resolves = false;
        auto registry = with_mirrors({{.url = kUrl}, {.url = kFirst}}, {first, itself});
        CHECK(registry.send(kRepository, tag, {})->status == 200);
        CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    }
    SUBCASE("for a digest, all of them if one may be asked") {
        first.pulls = first.resolves = false;
        auto registry = with_mirrors({{.url = kFirst}}, {first, itself});
        CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    }
    SUBCASE("none is an error") {
        first.pulls = first.resolves = false;
        auto registry = with_mirrors({}, {first});
        for (const RepositoryRequest& each : {tag, kRequest}) {
            const Error error = error_of([&] { registry.send(kRepository, each, {}); });
            CHECK(error.code() == Errc::unsupported);
        }
    }
}

TEST_CASE("what a hosts.toml says about a host is in each request to it, and no other") {
    const Endpoint first{.base_url = "https://m1.example",
                         .tls = {.ca_files = {"/ca"}},
                         .path = "/v2/hub",
                         .headers = {{"X-Team", "storage"}},
                         .rewrites = {{"^a$", "b"}},
                         .mirror_of = "reg.example"};
    const std::string url = "https://m1.example/v2/hub/b/blobs/x?ns=reg.example";
    auto registry =
        with_mirrors({redirect(url, "https://cdn.example/x"),
                      {.url = "https://cdn.example/x", .without = {"X-Team"}, .status = 403},
                      {.url = kUrl, .without = {"X-Team"}}},
                     {first, {.base_url = "https://reg.example"}});
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    auto again = with_mirrors({{.url = url, .with = {{"X-Team", "storage"}}}}, {first});
    CHECK(again.send(kRepository, kRequest, {})->status == 200);
}

/// Keeps whom it was asked for.
class AskedCredentials : public CredentialSource {
  public:
    std::optional<Credentials> find(const Repository& repository, const std::stop_token&) override {
        asked.push_back(repository.name());
        return password();
    }
    std::vector<std::string> asked;
};

TEST_CASE("a mirror gets the credentials of its own name") {
    const auto credentials = std::make_shared<AskedCredentials>();
    const http::Headers basic = {{"WWW-Authenticate", "Basic realm=x"}};
    auto registry = with_mirrors(
        {{.url = "https://m1.example:5000/v2/hub/a/blobs/x?ns=reg.example",
          .status = 401,
          .headers = basic},
         {.url = "https://m1.example:5000/v2/hub/a/blobs/x?ns=reg.example", .status = 404},
         {.url = kUrl, .without = {"Authorization"}, .status = 401, .headers = basic},
         {.url = kUrl}},
        {{.base_url = "https://m1.example:5000", .path = "/v2/hub", .mirror_of = "reg.example"},
         {.base_url = "https://reg.example"}},
        credentials);
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);
    CHECK(credentials->asked.front() == "m1.example:5000/hub/a");
    CHECK(credentials->asked.back() == "reg.example/a");
}

const std::string kCloudUrl = "https://1.pkg.dev/v2/a/blobs/x";
const http::Headers kBasic = {{"WWW-Authenticate", "Basic realm=x"}};
const http::Headers kOfLogin = {{"Authorization", "Basic bG9naW46U0VDUkVU"}};
const http::Headers kOfRole = {{"Authorization", "Basic cm9sZTpTRUNSRVQ="}};

std::shared_ptr<CredentialSource> login_and_role() {
    return std::make_shared<CredentialChain>(
        std::vector<CredentialChain::Link>{
            {.source = FixedCredentials::from("config.json", "login")},
            {.source = FixedCredentials::from("the role", "role")}},
        nullptr);
}

TEST_CASE("credentials that a cloud refuses do not hide those that work") {
    const oci::Reference reference = oci::Reference::parse("1.pkg.dev/a:1");
    for (const int status : {401, 403}) {
        CAPTURE(status);
        auto registry = sender({{.url = kCloudUrl, .status = 401, .headers = kBasic},
                                {.url = kCloudUrl, .with = kOfLogin, .status = status},
                                {.url = kCloudUrl, .with = kOfRole},
                                {.url = kCloudUrl, .with = kOfRole}},
                               login_and_role());
        CHECK(registry.send(reference, kRequest, {})->status == 200);
        CHECK(registry.send(reference, kRequest, {})->status == 200);
    }
    SUBCASE("none works: the first refusal is reported, each time") {
        auto registry = sender(
            {{.url = kCloudUrl, .status = 401, .headers = kBasic},
             {.url = kCloudUrl, .with = kOfLogin, .status = 403, .body = "token has expired"},
             {.url = kCloudUrl, .with = kOfRole, .status = 403, .body = "not allowed"},
             {.url = kCloudUrl, .without = {"Authorization"}, .status = 401, .headers = kBasic},
             {.url = kCloudUrl, .with = kOfLogin, .status = 403, .body = "token has expired"}},
            login_and_role());
        const Error error = error_of([&] { registry.send(reference, kRequest, {}); });
        CHECK(error.code() == Errc::permission_denied);
        CHECK(contains(error.message(), "token has expired"));
        CHECK(contains(error.next_step(), "from config.json"));
        CHECK(contains(error_of([&] { registry.send(reference, kRequest, {}); }).next_step(),
                       "from config.json"));
    }
    SUBCASE("what the others lead to is no refusal") {
        auto registry = sender({{.url = kCloudUrl, .status = 401, .headers = kBasic},
                                {.url = kCloudUrl, .with = kOfLogin, .status = 403},
                                {.url = kCloudUrl, .with = kOfRole, .status = 404}},
                               login_and_role());
        CHECK(error_of([&] { registry.send(reference, kRequest, {}); }).code() == Errc::not_found);
    }
    SUBCASE("a refusal by the storage is not about credentials") {
        auto registry = sender({{.url = kCloudUrl, .status = 401, .headers = kBasic},
                                redirect(kCloudUrl, "https://storage.example/x"),
                                {.url = "https://storage.example/x", .status = 403}},
                               login_and_role());
        CHECK(error_of([&] { registry.send(reference, kRequest, {}); }).code() ==
              Errc::permission_denied);
    }
    SUBCASE("a registry of no cloud") {
        auto registry = sender({{.url = kUrl, .status = 401, .headers = kBasic},
                                {.url = kUrl, .with = kOfLogin, .status = 403}},
                               login_and_role());
        CHECK(error_of([&] { registry.send(kRepository, kRequest, {}); }).code() ==
              Errc::permission_denied);
    }
}

}  // namespace prebake::registry::request_sender_test
