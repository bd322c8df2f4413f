#include <doctest/doctest.h>

#include "agent/registry/request_sender.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"

/// Redirects from one registry to another.
namespace prebake::registry::request_sender_redirect_test {

const oci::Reference kRepository = oci::Reference::parse("reg.example/a:1");
const RepositoryRequest kRequest{
    .method = http::Method::get, .path = "blobs/x", .headers = {{"Range", "bytes=5-"}}};
const std::string kUrl = "https://reg.example/v2/a/blobs/x";
const http::Headers kBasic = {{"WWW-Authenticate", "Basic realm=x"}};

Credentials password_of(const std::string& registry) {
    Credentials credentials;
    credentials.username = "u";
    credentials.password = "SECRET of " + registry;
    credentials.source = "the test";
    return credentials;
}

/// A password for each registry, and whom it was asked for.
class PasswordOf : public CredentialSource {
  public:
    std::optional<Credentials> find(const Repository& repository, const std::stop_token&) override {
        asked.push_back(repository.name());
        return password_of(repository.registry);
    }
    std::vector<std::string> asked;
};

http::Headers basic_of(const std::string& registry) {
    return {{"Authorization", basic_authorization(password_of(registry))}};
}

/// For the registry `from`.
RequestSender sender(std::vector<Step> steps,
                     std::shared_ptr<CredentialSource> credentials = std::make_shared<PasswordOf>(),
                     const Endpoint& from = {.base_url = "https://reg.example"}) {
    return RequestSender(std::make_shared<ScriptedHttp>(std::move(steps)), std::move(credentials),
                         [from](std::string_view) { return std::vector<Endpoint>{from}; });
}

Step redirect(std::string from, std::string to) {
    return Step{.url = std::move(from), .status = 307, .headers = {{"Location", std::move(to)}}};
}

TEST_CASE("another registry that the first one redirects to gets its own credentials") {
    struct Row {
        std::string target;
        std::string registry;
        std::string repository;
    };
    for (const Row& row : {
             Row{"https://other.example/v2/org/a/blobs/x", "other.example", "org/a"},
             Row{"https://other.example:444/v2/a/blobs/x?n=1", "other.example:444", "a"},
             Row{"https://reg.example:8443/v2/v2/a/blobs/x", "reg.example:8443", "v2/a"},
             Row{"https://o.example/artifactory/api/docker/r/v2/a/blobs/x", "o.example", "a"},
             Row{"https://registry-1.docker.io/v2/library/a/blobs/y", "docker.io", "library/a"},
         }) {
        CAPTURE(row.target);
        const auto credentials = std::make_shared<PasswordOf>();
        const http::Headers own = basic_of(row.registry);
        auto registry = sender(
            {
                redirect(kUrl, row.target),
                {.url = row.target, .without = {"Authorization"}, .status = 401, .headers = kBasic},
                redirect(kUrl, row.target),
                {.url = row.target, .with = own},
                redirect(kUrl, row.target),
                {.url = row.target, .with = own},
            },
            credentials);
        CHECK(registry.send(kRepository, kRequest, {})->status == 200);
        CHECK(registry.send(kRepository, kRequest, {})->status == 200);
        CHECK(credentials->asked == std::vector<std::string>{row.registry + "/" + row.repository});
    }
}

TEST_CASE("both registries of a redirect may want tokens, each from its own service") {
    const std::string target = "https://other.example/v2/b/blobs/x";
    const http::Headers firsts = {
        {"WWW-Authenticate", R"(Bearer realm="https://auth.example/t",service="s")"}};
    const http::Headers others = {{"WWW-Authenticate", R"(Bearer realm="/token",service="o")"}};
    const std::string token = "https://other.example/token?service=o&scope=repository%3Ab%3Apull";
    const Step moved = redirect(kUrl, target);
    Step authorized = moved;
    authorized.with = {{"Authorization", "Bearer t1"}};
    auto registry = sender(
        {
            {.url = kUrl, .status = 401, .headers = firsts},
            {.url = "https://auth.example/t?service=s&scope=repository%3Aa%3Apull",
             .body = R"({"token":"t1"})"},
            authorized,
            {.url = target, .without = {"Authorization"}, .status = 401, .headers = others},
            {.url = token, .body = R"({"token":"t2"})"},
            authorized,
            {.url = target, .with = {{"Authorization", "Bearer t2"}, {"Range", "bytes=5-"}}},
        },
        FixedCredentials::none());
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);
}

TEST_CASE("a registry that moved to https gets the credentials of its name") {
    const Endpoint plain{.base_url = "http://reg.example"};
    const std::string secure = kUrl;
    const std::string first = "http://reg.example/v2/a/blobs/x";
    auto registry = sender({redirect(first, secure),
                            {.url = secure, .status = 401, .headers = kBasic},
                            redirect(first, secure),
                            {.url = secure, .with = basic_of("reg.example")}},
                           std::make_shared<PasswordOf>(), plain);
    CHECK(registry.send(kRepository, kRequest, {})->status == 200);
}

TEST_CASE("who gets no credentials after a redirect") {
    struct Row {
        std::string name;
        Endpoint from;
        std::string target;
        http::Headers challenge;
        const char* message;
    };
    const Endpoint registry{.base_url = "https://reg.example"};
    const Endpoint unverified{.base_url = "https://reg.example",
                              .tls = {.verification = http::TlsVerification::none}};
    const Endpoint plain{.base_url = "http://reg.example"};
    const std::string api = "https://other.example/v2/a/blobs/x";
    for (const Row& row : {
             Row{"storage", registry, "https://cdn.example/a/blobs/x", kBasic, "check that this"},
             Row{"storage of a registry", registry,
                 "https://cdn.example/docker/registry/v2/blobs/x", kBasic, "check that this"},
             Row{"another path", registry, "https://other.example/v2/a/tags/x", kBasic,
                 "check that this"},
             Row{"no challenge", registry, api, {}, "the credentials for other.example from"},
             Row{"not verified", unverified, api, kBasic, "use an image reference with other.ex"},
             Row{"not encrypted", plain, "http://other.example/v2/a/blobs/x", kBasic,
                 "use an image reference with other.example"},
         }) {
        CAPTURE(row.name);
        const std::string first = row.from.base_url + "/v2/a/blobs/x";
        auto asked = sender({redirect(first, row.target),
                             {.url = row.target,
                              .without = {"Authorization"},
                              .status = 401,
                              .headers = row.challenge}},
                            std::make_shared<PasswordOf>(), row.from);
        const Error error = error_of([&] { asked.send(kRepository, kRequest, {}); });
        CHECK(error.code() == Errc::unauthenticated);
        CHECK(contains(error.message(), "where the registry redirects to,"));
        CHECK(contains(error.next_step(), row.message));
    }
}

TEST_CASE("another registry that refuses its credentials is named, and asked once") {
    const std::string target = "https://other.example/v2/a/blobs/x";
    for (const int status : {401, 403}) {
        CAPTURE(status);
        auto registry = sender({redirect(kUrl, target),
                                {.url = target, .status = 401, .headers = kBasic},
                                redirect(kUrl, target),
                                {.url = target, .status = status, .headers = kBasic}});
        const Error error = error_of([&] { registry.send(kRepository, kRequest, {}); });
        CHECK(contains(error.message(), "other.example:443, where the registry redirects to,"));
        CHECK(contains(error.message(), "may not be pulled with these credentials"));
        CHECK(contains(error.next_step(), "the credentials for other.example from"));
    }
    // What never asked for credentials complains about the URL.
    auto storage = sender({redirect(kUrl, target), {.url = target, .status = 403}});
    CHECK(contains(error_of([&] { storage.send(kRepository, kRequest, {}); }).next_step(),
                   "check that this machine may reach it"));
}

TEST_CASE("a chain of registries that all want credentials has an end") {
    const auto other = [](int i) {
        return "https://o" + std::to_string(i) + ".example/v2/a/blobs/x";
    };
    std::vector<Step> steps;
    for (int i = 0; i < 4; ++i) {
        steps.push_back(redirect(kUrl, other(i)));
        steps.push_back({.url = other(i), .status = 401, .headers = kBasic});
    }
    auto registry = sender(steps);
    CHECK(contains(error_of([&] { registry.send(kRepository, kRequest, {}); }).message(),
                   "o3.example:443"));
}

TEST_CASE("where a request was redirected to is known, unless it got credentials there") {
    const std::string cdn = "https://cdn.example/b?sig=SECRET";
    const std::string other = "https://other.example/v2/a/blobs/x";
    struct Row {
        const char* name;
        std::vector<Step> steps;
        const char* expected;
    };
    for (const Row& row : {
             Row{"not redirected", {{.url = kUrl}}, ""},
             Row{"to storage",
                 {redirect(kUrl, cdn), {.url = cdn}},
                 "https://cdn.example/b?sig=SECRET"},
             Row{"within the registry",
                 {redirect(kUrl, "https://reg.example/y"), {.url = "https://reg.example/y"}},
                 ""},
             Row{"to a URL with a password",
                 {redirect(kUrl, "https://u:p@cdn.example/b"),
                  {.url = "https://u:p@cdn.example/b"}},
                 ""},
             Row{"to a registry that wants none",
                 {redirect(kUrl, other), {.url = other}},
                 "https://other.example/v2/a/blobs/x"},
             Row{"to a registry that wants some",
                 {redirect(kUrl, other),
                  {.url = other, .status = 401, .headers = kBasic},
                  redirect(kUrl, other),
                  {.url = other, .with = basic_of("other.example")}},
                 ""},
         }) {
        CAPTURE(row.name);
        std::optional<StorageLocation> storage = StorageLocation{.url = "an earlier one"};
        RepositoryRequest request = kRequest;
        request.storage = &storage;
        sender(row.steps).send(kRepository, request, {});
        CHECK((storage ? storage->url : "") == row.expected);
    }
}

TEST_CASE("storage is asked again without the registry, and its words are not repeated") {
    const std::string cdn = "https://cdn.example/b?sig=SECRET";
    auto registry =
        sender({redirect(kUrl, cdn),
                {.url = cdn},
                {.url = cdn,
                 .with = {{"Range", "bytes=1-2"}},
                 .without = {"Authorization"},
                 .status = 206,
                 .allows_link_local = false},
                {.url = cdn, .status = 403, .body = "<Message>sig=SECRET has expired</Message>"}},
               std::make_shared<PasswordOf>());
    std::optional<StorageLocation> storage;
    RepositoryRequest request = kRequest;
    request.storage = &storage;
    registry.send(kRepository, request, {});
    REQUIRE(storage);
    CHECK(registry.get_from_storage(*storage, {{"Range", "bytes=1-2"}}, {})->status == 206);
    const Error error = error_of([&] { registry.get_from_storage(*storage, {}, {}); });
    CHECK(error.code() == Errc::permission_denied);
    CHECK(contains(error.message(), "cdn.example:443 answers 403"));
    CHECK_FALSE(contains(error.message(), "SECRET"));
}

}  // namespace prebake::registry::request_sender_redirect_test
