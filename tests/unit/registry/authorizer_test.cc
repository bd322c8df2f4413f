#include "agent/registry/authorizer.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "agent/registry/credential_chain.h"
#include "agent/registry/retry.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry {
namespace {

using std::chrono::steady_clock;

const Audience kAudience{.repository = {.registry = "reg.example", .path = "a"},
                         .endpoint = {.base_url = "https://reg.example"},
                         .scope = "repository:a:pull"};
const std::string kTokenUrl = "https://auth.example/t?scope=repository%3Aa%3Apull";

std::vector<Challenge> bearer() {
    return {{.scheme = "bearer", .parameters = {{"realm", "https://auth.example/t"}}}};
}

std::vector<Challenge> basic() {
    return {{.scheme = "basic", .parameters = {}}};
}

std::shared_ptr<ScriptedHttp> scripted(std::vector<Step> steps) {
    return std::make_shared<ScriptedHttp>(std::move(steps));
}

TEST_CASE("a token is used for its scope, and renewed shortly before it expires") {
    auto now = steady_clock::time_point{} + std::chrono::hours(1);
    Authorizer authorizer(
        scripted({{.url = kTokenUrl, .body = R"({"token":"one","expires_in":100})"},
                  {.url = kTokenUrl, .body = R"({"token":"two","expires_in":10})"},
                  {.url = kTokenUrl, .body = R"({"token":"three"})"},
                  {.url = kTokenUrl, .status = 503}}),
        FixedCredentials::none(), [&] { return now; });
    CHECK_FALSE(authorizer.known(kAudience, {}));
    CHECK(authorizer.authorize(kAudience, bearer(), std::nullopt, {}) == "Bearer one");
    CHECK(authorizer.known(kAudience, {}) == "Bearer one");
    Audience other = kAudience;
    other.scope = "repository:b:pull";
    CHECK_FALSE(authorizer.known(other, {}));
    other = kAudience;
    other.endpoint.base_url = "https://mirror.example";
    CHECK_FALSE(authorizer.known(other, {}));
    now += std::chrono::seconds(94);
    CHECK(authorizer.known(kAudience, {}) == "Bearer one");
    now += std::chrono::seconds(1);
    CHECK(authorizer.known(kAudience, {}) == "Bearer two");
    now += std::chrono::milliseconds(8'999);
    CHECK(authorizer.known(kAudience, {}) == "Bearer two");
    now += std::chrono::milliseconds(1);
    CHECK(authorizer.known(kAudience, {}) == "Bearer three");
    now += std::chrono::seconds(60);
    CHECK(error_of([&] { authorizer.known(kAudience, {}); }).code() == Errc::unavailable);
    CHECK_FALSE(authorizer.known(kAudience, {}));
}

TEST_CASE("a renewed token has the scopes that the registry asked for") {
    auto now = steady_clock::time_point{} + std::chrono::hours(1);
    const std::string url = kTokenUrl + "&scope=repository%3Ab%3Apull";
    Authorizer authorizer(scripted({{.url = url, .body = R"({"token":"one"})"},
                                    {.url = url, .body = R"({"token":"two"})"}}),
                          FixedCredentials::none(), [&] { return now; });
    std::vector<Challenge> challenges = bearer();
    challenges.front().parameters["scope"] = "repository:b:pull";
    CHECK(authorizer.authorize(kAudience, challenges, {}, {}) == "Bearer one");
    now += std::chrono::seconds(60);
    CHECK(authorizer.known(kAudience, {}) == "Bearer two");
}

/// What a POST with the password of with_password() gets.
Step posted(Step answer) {
    answer.method = http::Method::post;
    answer.url = "https://auth.example/t";
    answer.form =
        "grant_type=password&service=&client_id=prebake&scope=repository%3Aa%3Apull"
        "&username=u&password=SECRET";
    return answer;
}

std::shared_ptr<CredentialSource> with_password() {
    return FixedCredentials::of({.username = "u",
                                 .password = "SECRET",
                                 .identity_token = {},
                                 .registry_token = {},
                                 .note = {}});
}

TEST_CASE("a service that gives a token for nobody to a POST is asked with GET") {
    const Step one = posted({.body = R"({"token":"one"})"});
    const http::Headers basic = {{"Authorization", "Basic dTpTRUNSRVQ="}};
    const Step by_get{.url = kTokenUrl, .with = basic, .body = R"({"token":"two"})"};
    Authorizer authorizer(scripted({one, by_get, by_get}), with_password());
    CHECK(authorizer.authorize(kAudience, bearer(), {}, {}) == "Bearer one");
    CHECK(authorizer.authorize(kAudience, bearer(), "Bearer one", {}) == "Bearer two");
    CHECK(authorizer.authorize(kAudience, bearer(), "Bearer two", {}) == "Bearer two");

    Step no_get = by_get;
    no_get.status = 404;
    Authorizer post_only(scripted({one, no_get, posted({.body = R"({"token":"two"})"})}),
                         with_password());
    CHECK(post_only.authorize(kAudience, bearer(), {}, {}) == "Bearer one");
    CHECK(post_only.authorize(kAudience, bearer(), "Bearer one", {}) == "Bearer two");
}

TEST_CASE("a token that has expired is got again as it was") {
    auto now = steady_clock::time_point{} + std::chrono::hours(1);
    Authorizer authorizer(
        scripted({posted({.body = R"({"token":"one"})"}), posted({.body = R"({"token":"two"})"})}),
        with_password(), [&] { return now; });
    CHECK(authorizer.authorize(kAudience, bearer(), {}, {}) == "Bearer one");
    now += std::chrono::seconds(60);
    CHECK(authorizer.known(kAudience, {}) == "Bearer two");
}

TEST_CASE("a service that takes no POST is not asked with POST again") {
    Authorizer authorizer(scripted({posted({.status = 405}),
                                    {.url = kTokenUrl, .body = R"({"token":"one"})"},
                                    {.url = kTokenUrl, .body = R"({"token":"two"})"}}),
                          with_password());
    CHECK(authorizer.authorize(kAudience, bearer(), {}, {}) == "Bearer one");
    CHECK(authorizer.authorize(kAudience, bearer(), "Bearer one", {}) == "Bearer two");
}

TEST_CASE("a new refresh token takes the place of the identity token, until it is refused") {
    const auto with = [](const std::string& refresh_token, Step step) {
        step.method = http::Method::post;
        step.url = "https://auth.example/t";
        step.form =
            "grant_type=refresh_token&service=&client_id=prebake&scope=repository%3Aa%3Apull"
            "&refresh_token=" +
            refresh_token;
        return step;
    };
    const Step refused{.status = 401};
    Authorizer authorizer(
        scripted({with("SECRET1", {.body = R"({"access_token":"a","refresh_token":"SECRET2"})"}),
                  with("SECRET2", {.body = R"({"access_token":"b"})"}), with("SECRET2", refused),
                  with("SECRET1", {.body = R"({"access_token":"c"})"})}),
        FixedCredentials::of({.username = {},
                              .password = {},
                              .identity_token = "SECRET1",
                              .registry_token = {},
                              .note = {}}));
    const auto next = [&](const std::string& after) {
        return authorizer.authorize(kAudience, bearer(), after, {});
    };
    CHECK(next("") == "Bearer a");
    CHECK(next("Bearer a") == "Bearer b");
    CHECK(error_of([&] { next("Bearer b"); }).code() == Errc::unauthenticated);
    CHECK(next("Bearer b") == "Bearer c");
}

TEST_CASE("a refused token is replaced, unless another thread has replaced it") {
    Authorizer authorizer(scripted({{.url = kTokenUrl, .body = R"({"token":"one"})"},
                                    {.url = kTokenUrl, .body = R"({"token":"two"})"}}),
                          FixedCredentials::none());
    CHECK(authorizer.authorize(kAudience, bearer(), std::nullopt, {}) == "Bearer one");
    CHECK(authorizer.authorize(kAudience, bearer(), "Bearer one", {}) == "Bearer two");
    CHECK(authorizer.authorize(kAudience, bearer(), "Bearer one", {}) == "Bearer two");
    CHECK(authorizer.known(kAudience, {}) == "Bearer two");
}

TEST_CASE("after a failed fetch the next one is tried") {
    Authorizer authorizer(scripted({{.url = kTokenUrl, .status = 503},
                                    {.url = kTokenUrl, .body = R"({"token":"one"})"}}),
                          FixedCredentials::none());
    CHECK(error_of([&] { authorizer.authorize(kAudience, bearer(), {}, {}); }).code() ==
          Errc::unavailable);
    CHECK(authorizer.authorize(kAudience, bearer(), {}, {}) == "Bearer one");
}

TEST_CASE("the authorization for a challenge") {
    const Credentials password{.username = "u",
                               .password = "SECRET",
                               .identity_token = {},
                               .registry_token = {},
                               .note = {}};
    const Credentials registry_token{.username = {},
                                     .password = {},
                                     .identity_token = {},
                                     .registry_token = "SECRET-token",
                                     .note = {}};
    Authorizer with_password(scripted({}), FixedCredentials::of(password));
    CHECK(with_password.authorize(kAudience, basic(), {}, {}) == "Basic dTpTRUNSRVQ=");
    CHECK(with_password.known(kAudience, {}) == "Basic dTpTRUNSRVQ=");
    Authorizer with_token(scripted({}), FixedCredentials::of(registry_token));
    CHECK(with_token.authorize(kAudience, bearer(), {}, {}) == "Bearer SECRET-token");

    struct Row {
        std::string name;
        std::vector<Challenge> challenges;
        std::shared_ptr<CredentialSource> credentials;
    };
    Credentials no_password = password;
    no_password.password.clear();
    const std::vector<Row> refused = {
        {"Basic, anonymous", basic(), FixedCredentials::none()},
        {"Basic, without a password", basic(), FixedCredentials::of(no_password)},
        {"no challenge", {}, FixedCredentials::of(password)},
        {"another scheme",
         {{.scheme = "negotiate", .parameters = {}}},
         FixedCredentials::of(password)},
    };
    for (const Row& row : refused) {
        CAPTURE(row.name);
        Authorizer authorizer(scripted({}), row.credentials);
        const Error error =
            error_of([&] { authorizer.authorize(kAudience, row.challenges, {}, {}); });
        CHECK(error.code() == Errc::unauthenticated);
        CHECK(contains(error.next_step(), "reg.example"));
    }
}

TEST_CASE("the hint names the known credentials and what to do") {
    Credentials helper;
    helper.note = "the helper is not run";
    Credentials known;
    known.username = "u";
    struct Row {
        std::shared_ptr<CredentialSource> source;
        const char* expected;
    };
    for (const Row& row : {
             Row{FixedCredentials::none(),
                 "check the name; there are no credentials for r (docker login r, or --authfile "
                 "FILE)"},
             Row{FixedCredentials::of(known),
                 "check the name, and the credentials for r from the test"},
             Row{FixedCredentials::of(helper), "the helper is not run"},
         }) {
        CHECK(Authorizer(scripted({}), row.source).login_hint({.registry = "r", .path = "a"}, {}) ==
              row.expected);
    }
}

TEST_CASE("a 401 that offers nothing is about the response, a missing password is not") {
    Authorizer authorizer(scripted({}), FixedCredentials::none());
    try {
        authorizer.authorize(kAudience, {}, {}, {});
        FAIL("authorized");
    } catch (const ResponseError& error) {
        CHECK(error.status() == 401);
    }
    try {
        authorizer.authorize(kAudience, basic(), {}, {});
        FAIL("authorized");
    } catch (const Error& error) {
        CHECK(dynamic_cast<const ResponseError*>(&error) == nullptr);
    }
}

TEST_CASE("credentials that a token service refuses do not hide those that work") {
    const Audience audience{.repository = {.registry = "1.pkg.dev", .path = "a"},
                            .endpoint = {.base_url = "https://1.pkg.dev"},
                            .scope = "repository:a:pull"};
    const auto credentials = [] {
        return std::make_shared<CredentialChain>(
            std::vector<CredentialChain::Link>{
                {.source = FixedCredentials::from("config.json", "login")},
                {.source = FixedCredentials::from("the role", "role")}},
            nullptr);
    };
    const auto step = [](const std::string& user, int status, const std::string& body) {
        return Step{.method = http::Method::post,
                    .url = "https://auth.example/t",
                    .form =
                        "grant_type=password&service=&client_id=prebake&scope=repository%3Aa%3A"
                        "pull&username=" +
                        user + "&password=SECRET",
                    .status = status,
                    .body = body};
    };
    const Step by_get{.url = kTokenUrl, .status = 401};  // after a POST that was refused
    Authorizer works(
        scripted({step("login", 401, {}), by_get, step("role", 200, R"({"token":"t"})")}),
        credentials());
    CHECK(works.authorize(audience, bearer(), {}, {}) == "Bearer t");

    Authorizer refused(scripted({step("login", 401, {}), by_get, step("role", 401, {}), by_get}),
                       credentials());
    const Error error = error_of([&] { refused.authorize(audience, bearer(), {}, {}); });
    CHECK(error.code() == Errc::unauthenticated);
    CHECK(contains(error.next_step(), "from config.json"));

    Authorizer away(scripted({step("login", 401, {}), by_get, step("role", 503, {}),
                              Step{.url = kTokenUrl, .status = 503}}),
                    credentials());
    CHECK(error_of([&] { away.authorize(audience, bearer(), {}, {}); }).code() ==
          Errc::unavailable);
}

TEST_CASE("threads whose credentials were refused replace them once") {
    const Audience audience{.repository = {.registry = "1.pkg.dev", .path = "a"},
                            .endpoint = {.base_url = "https://1.pkg.dev"},
                            .scope = "repository:a:pull"};
    const auto chain = std::make_shared<CredentialChain>(
        std::vector<CredentialChain::Link>{
            {.source = FixedCredentials::from("config.json", "login")},
            {.source = FixedCredentials::from("the role", "role")},
            {.source = FixedCredentials::from("the last", "last")}},
        nullptr);
    Authorizer authorizer(scripted({}), chain);
    const std::string login = authorizer.authorize(audience, basic(), {}, {});
    std::vector<std::string> answers(8);
    {
        std::vector<std::jthread> threads;
        threads.reserve(answers.size());
        for (std::string& answer : answers) {
            threads.emplace_back([&] {
                if (authorizer.has_other(audience, login, {})) {
                    answer = authorizer.known(audience, {}).value_or("none");
                }
            });
        }
    }
    CHECK(answers == std::vector<std::string>(8, "Basic cm9sZTpTRUNSRVQ="));
    CHECK_FALSE(authorizer.has_other(audience, "Basic of nobody", {}));
    CHECK_FALSE(authorizer.has_other(audience, std::nullopt, {}));
}

/// Answers every request with another token.
class CountingHttp : public http::Client {
  public:
    std::unique_ptr<http::Response> send(const http::Request&, const std::stop_token&) override {
        const int count = ++requests;
        return std::make_unique<ScriptedResponse>(
            Step{.body = R"({"token":"t)" + std::to_string(count) + "\"}"});
    }
    std::atomic<int> requests = 0;
};

/// The password for a repository is its path. Counts how often it was asked.
class PasswordOfPath : public CredentialSource {
  public:
    std::optional<Credentials> find(const Repository& repository, const std::stop_token&) override {
        ++asked;
        Credentials credentials;
        credentials.username = "robot";
        credentials.password = repository.name();
        credentials.source = "the test";
        return credentials;
    }
    std::atomic<int> asked = 0;
};

/// Gives everybody the password that it got as the token.
class RepeatingHttp : public http::Client {
  public:
    std::unique_ptr<http::Response> send(const http::Request& request,
                                         const std::stop_token&) override {
        return std::make_unique<ScriptedResponse>(Step{
            .body = R"({"token":")" + request.body.substr(request.body.rfind('=') + 1) + "\"}"});
    }
};

TEST_CASE("repositories have authorizations of their own where all but the path is equal") {
    // As two hosts.toml with override_path have it, and the scope of one mirrored repository.
    const auto audience = [](const std::string& path) {
        return Audience{.repository = {.registry = "h.example", .path = path + "/app"},
                        .endpoint = {.base_url = "https://h.example",
                                     .path = "/v2/" + path,
                                     .mirror_of = path + ".example"},
                        .scope = "repository:app:pull"};
    };
    const std::vector<std::string> paths = {"docker", "quay", "ghcr"};
    Authorizer basic_only(scripted({}), std::make_shared<PasswordOfPath>());
    for (const std::string& path : paths) {
        Credentials expected;
        expected.username = "robot";
        expected.password = "h.example/" + path + "/app";
        CHECK_FALSE(basic_only.known(audience(path), {}));
        CHECK(basic_only.authorize(audience(path), basic(), {}, {}) ==
              basic_authorization(expected));
    }
    Audience named = audience("docker");
    named.repository.registry = "other.example";
    CHECK_FALSE(basic_only.known(named, {}));

    Authorizer bearer_too(std::make_shared<RepeatingHttp>(), std::make_shared<PasswordOfPath>());
    std::vector<std::string> answers(12);
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < answers.size(); ++i) {
            threads.emplace_back([&, i] {
                const Audience asked = audience(paths[i % paths.size()]);
                bearer_too.authorize(asked, bearer(), {}, {});
                answers[i] = bearer_too.known(asked, {}).value_or("");
            });
        }
    }
    for (std::size_t i = 0; i < answers.size(); ++i) {
        CHECK(answers[i] == "Bearer h.example%2F" + paths[i % paths.size()] + "%2Fapp");
    }
}

TEST_CASE("a refresh token is for the service that gave it") {
    const auto answer = [](const std::string& url, const std::string& token) {
        return Step{.method = http::Method::post,
                    .url = url,
                    .form =
                        "grant_type=refresh_token&service=&client_id=prebake"
                        "&scope=repository%3Aa%3Apull&refresh_token=" +
                        token,
                    .body = R"({"access_token":"a","refresh_token":"SECRET2"})"};
    };
    Authorizer authorizer(scripted({answer("https://reg.example/t", "SECRET1"),
                                    answer("https://other.example/t", "SECRET1"),
                                    answer("https://reg.example/t", "SECRET2")}),
                          FixedCredentials::of({.username = {},
                                                .password = {},
                                                .identity_token = "SECRET1",
                                                .registry_token = {},
                                                .note = {}}));
    const std::vector<Challenge> relative = {{.scheme = "bearer", .parameters = {{"realm", "/t"}}}};
    Audience other = kAudience;
    other.endpoint.base_url = "https://other.example";
    authorizer.authorize(kAudience, relative, {}, {});
    authorizer.authorize(other, relative, {}, {});
    authorizer.authorize(kAudience, relative, "Bearer a", {});
}

TEST_CASE("credentials are looked up once for a token, and again for the hint of a refusal") {
    const auto credentials = std::make_shared<PasswordOfPath>();
    Authorizer authorizer(std::make_shared<RepeatingHttp>(), credentials);
    authorizer.authorize(kAudience, bearer(), {}, {});
    CHECK(credentials->asked == 1);
    const Step refused{.method = http::Method::post,
                       .url = "https://auth.example/t",
                       .form =
                           "grant_type=password&service=&client_id=prebake"
                           "&scope=repository%3Aa%3Apull&username=robot"
                           "&password=reg.example%2Fa",
                       .status = 401};
    Authorizer failing(scripted({refused, {.url = kTokenUrl, .status = 401}}), credentials);
    const Error error = error_of([&] { failing.authorize(kAudience, bearer(), {}, {}); });
    CHECK(contains(error.next_step(), "the credentials for reg.example from the test"));
    CHECK(credentials->asked == 3);
}

TEST_CASE("threads that need the same token fetch it once") {
    const auto http = std::make_shared<CountingHttp>();
    Authorizer authorizer(http, FixedCredentials::none());
    std::vector<std::string> answers(8);
    {
        std::vector<std::jthread> threads;
        threads.reserve(answers.size());
        for (std::string& answer : answers) {
            threads.emplace_back(
                [&] { answer = authorizer.authorize(kAudience, bearer(), {}, {}); });
        }
    }
    CHECK(http->requests == 1);
    CHECK(answers == std::vector<std::string>(8, "Bearer t1"));
}

TEST_CASE("threads whose token has expired renew it once") {
    const auto http = std::make_shared<CountingHttp>();
    std::atomic<int> seconds = 0;
    Authorizer authorizer(http, FixedCredentials::none(), [&] {
        return steady_clock::time_point{} + std::chrono::seconds(seconds.load());
    });
    authorizer.authorize(kAudience, bearer(), {}, {});
    seconds = 60;
    std::vector<std::optional<std::string>> answers(8);
    {
        std::vector<std::jthread> threads;
        threads.reserve(answers.size());
        for (auto& answer : answers) {
            threads.emplace_back([&] { answer = authorizer.known(kAudience, {}); });
        }
    }
    CHECK(http->requests == 2);
    for (const auto& answer : answers) CHECK(answer == "Bearer t2");
}

}  // namespace
}  // namespace prebake::registry
