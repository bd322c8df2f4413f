#include "agent/registry/remote.h"

#include <doctest/doctest.h>

#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry::remote_test {

using namespace std::chrono_literals;

const std::string kType = "application/vnd.oci.image.manifest.v1+json";
const std::string kManifest = R"({"schemaVersion":2})";
const oci::Digest kDigest = oci::Digest::of(kManifest);
const oci::Digest kOtherDigest = oci::Digest::of("other");
const oci::Reference kByTag = oci::Reference::parse("reg.example/a/b:1");
const oci::Reference kByDigest = oci::Reference::parse("reg.example/a/b@" + kDigest.str());
const std::string kTagUrl = "https://reg.example/v2/a/b/manifests/1";
const std::string kDigestUrl = "https://reg.example/v2/a/b/manifests/" + kDigest.str();
const std::string kBlobUrl = "https://reg.example/v2/a/b/blobs/" + kDigest.str();
const std::string kAccept =
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

oci::Descriptor descriptor(std::uint64_t size = kManifest.size()) {
    return oci::Descriptor{
        .media_type = kType, .digest = kDigest, .size = size, .annotations = {}, .platform = {}};
}

/// A Remote over a script, and its lines about retries.
struct Fixture {
    explicit Fixture(std::vector<Step> steps)
        : remote(std::make_shared<ScriptedHttp>(std::move(steps)), FixedCredentials::none(),
                 RetryOptions{
                     .retry = {.attempts = 3, .first_delay = 1ms, .max_delay = 50ms},
                     .on_retry = [this](const std::string& line) { lines.push_back(line); }}) {}

    std::vector<std::string> lines;
    Remote remote;
};

Step head(const std::string& url, http::Headers headers) {
    return Step{.method = http::Method::head,
                .url = url,
                .with = {{"Accept", kAccept}},
                .headers = std::move(headers),
                .body = kManifest};
}

Step refused_head(const Error& error) {
    return Step{.method = http::Method::head, .url = kTagUrl, .refuses = error};
}

Step get(const std::string& url) {
    return Step{.url = url,
                .with = {{"Accept", kAccept}},
                .headers = {{"Content-Type", kType}},
                .body = kManifest};
}

TEST_CASE("a name is resolved by HEAD if the header is complete, else by GET") {
    struct Row {
        std::string name;
        oci::Reference reference;
        std::vector<Step> steps;
    };
    const http::Headers full = {{"Content-Type", kType}, {"Docker-Content-Digest", kDigest.str()}};
    Step no_length = head(kTagUrl, full);
    no_length.chunked = true;
    Step zero_length = head(kTagUrl, full);
    zero_length.length = 0;
    const auto with = [](const std::string& type, const std::string& digest) {
        return head(kTagUrl, {{"Content-Type", type}, {"Docker-Content-Digest", digest}});
    };
    Step elsewhere = head(kTagUrl, {{"Location", "https://s3.example/m?for=HEAD"}});
    elsewhere.status = 307;
    Step for_get = elsewhere;
    for_get.method = http::Method::get;
    const Step refused_by_s3{
        .method = http::Method::head, .url = "https://s3.example/m?for=HEAD", .status = 403};
    Step by_s3 = get("https://s3.example/m?for=HEAD");
    Step to_nowhere = head(kTagUrl, {});
    to_nowhere.status = 302;
    Step out_of_tls = head(kTagUrl, {{"Location", "http://reg.example/"}});
    out_of_tls.status = 301;
    const std::vector<Row> rows = {
        {"tag", kByTag, {head(kTagUrl, full)}},
        {"digest", kByDigest, {head(kDigestUrl, full)}},
        {"type with parameters",
         kByTag,
         {head(kTagUrl, {{"content-type", kType + " ; charset=utf-8"},
                         {"docker-content-digest", kDigest.str()}})}},
        {"no digest", kByTag, {head(kTagUrl, {{"Content-Type", kType}}), get(kTagUrl)}},
        {"no type",
         kByTag,
         {head(kTagUrl, {{"Docker-Content-Digest", kDigest.str()}}), get(kTagUrl)}},
        {"no length", kByTag, {no_length, get(kTagUrl)}},
        {"length of zero", kByTag, {zero_length, get(kTagUrl)}},
        {"a type of something else", kByTag, {with("text/html", kDigest.str()), get(kTagUrl)}},
        {"the type of another schema",
         kByTag,
         {with("application/vnd.docker.distribution.manifest.v1+prettyjws", kDigest.str()),
          get(kTagUrl)}},
        {"by digest, another digest",
         kByDigest,
         {head(kDigestUrl,
               {{"Content-Type", kType}, {"Docker-Content-Digest", kOtherDigest.str()}}),
          get(kDigestUrl)}},
        {"redirected to a URL that is signed for GET",
         kByTag,
         {elsewhere, refused_by_s3, for_get, by_s3}},
        {"redirected to nowhere", kByTag, {to_nowhere, get(kTagUrl)}},
        {"redirected out of TLS", kByTag, {out_of_tls, get(kTagUrl)}},
        {"no HTTP", kByTag, {refused_head(Error(Errc::corrupt, "not HTTP")), get(kTagUrl)}},
        {"no answer to HEAD, and one to the next attempt",
         kByTag,
         {refused_head(Error(Errc::unavailable, "closed")), get(kTagUrl)}},
        {"too slow for HEAD", kByTag, {refused_head(Error(Errc::timed_out, "slow")), get(kTagUrl)}},
        {"a digest that is none",
         kByTag,
         {head(kTagUrl, {{"Content-Type", kType}, {"Docker-Content-Digest", "sha256:x"}}),
          get(kTagUrl)}},
        {"by digest, no digest in the header",
         kByDigest,
         {head(kDigestUrl, {{"Content-Type", kType}}), get(kDigestUrl)}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Fixture fixture(row.steps);
        CHECK(fixture.remote.resolve(row.reference, {}) == descriptor());
    }
}

TEST_CASE("whatever status HEAD gets, GET decides") {
    for (const int status : {204, 300, 304, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410,
                             412, 415, 416, 421, 422, 429, 451, 500, 501, 502, 503, 504, 505}) {
        CAPTURE(status);
        Step refused = head(kTagUrl, {});
        refused.status = status;
        Fixture fixture({refused, get(kTagUrl)});
        CHECK(fixture.remote.resolve(kByTag, {}) == descriptor());
        // A busy server gets time before it gets the next request.
        const bool is_temporary =
            status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
        CHECK(fixture.lines.size() == (is_temporary ? 1U : 0U));
    }
}

TEST_CASE("a refused password is not sent again by GET") {
    const http::Headers basic = {{"WWW-Authenticate", "Basic realm=\"r\""}};
    Step challenged = head(kTagUrl, basic);
    challenged.status = 401;
    Step refused = challenged;
    refused.with.emplace_back("Authorization", "Basic dTpTRUNSRVQ=");
    Credentials password;
    password.username = "u";
    password.password = "SECRET";
    Remote remote(std::make_shared<ScriptedHttp>(std::vector<Step>{challenged, refused}),
                  FixedCredentials::of(password), {});
    const Error error = error_of([&] { remote.resolve(kByTag, {}); });
    CHECK(error.code() == Errc::unauthenticated);
    CHECK(contains(error.next_step(), "the credentials for reg.example from the test"));
}

TEST_CASE("a tag with a digest is not requested") {
    Fixture fixture(
        {head(kDigestUrl, {{"Content-Type", kType}, {"Docker-Content-Digest", kDigest.str()}})});
    const auto both = oci::Reference::parse("reg.example/a/b:1@" + kDigest.str());
    CHECK(fixture.remote.resolve(both, {}).digest == kDigest);
}

TEST_CASE("a digest must resolve to itself") {
    Step other = get(kDigestUrl);
    other.body = "other";
    Fixture by_body({head(kDigestUrl, {}), other});
    const Error error = error_of([&] { by_body.remote.resolve(kByDigest, {}); });
    CHECK(error.code() == Errc::corrupt);
    CHECK(contains(error.message(), kOtherDigest.str()));
}

TEST_CASE("errors of resolve name the image and the cause, in the words that only GET has") {
    struct Row {
        int status;
        Errc code;
        const char* message;
        int gets;
    };
    const std::string body = R"({"errors":[{"code":"X","message":"the archive is closed"}]})";
    for (const Row& row : {
             Row{404, Errc::not_found,
                 "the registry answers 404 Not Found (X: the archive is closed)", 1},
             Row{403, Errc::permission_denied,
                 "it does not exist or may not be pulled with these credentials: the registry "
                 "answers 403 Forbidden (X: the archive is closed)",
                 1},
             Row{412, Errc::failed_precondition,
                 "the registry answers 412 Precondition Failed (X: the archive is closed)", 1},
             Row{429, Errc::rate_limited,
                 "the registry answers 429 Too Many Requests (X: the archive is closed) (3 "
                 "attempts)",
                 2},
             Row{500, Errc::unavailable,
                 "the registry answers 500 Internal Server Error (X: the archive is closed) (3 "
                 "attempts)",
                 2},
         }) {
        CAPTURE(row.status);
        std::vector<Step> steps(static_cast<std::size_t>(row.gets),
                                {.url = kTagUrl, .status = row.status, .body = body});
        steps.insert(steps.begin(),
                     {.method = http::Method::head, .url = kTagUrl, .status = row.status});
        Fixture fixture(steps);
        const Error error = error_of([&] { fixture.remote.resolve(kByTag, {}); });
        CHECK(error.code() == row.code);
        CHECK(error.message() == std::string("cannot resolve reg.example/a/b:1: ") + row.message);
        CHECK_FALSE(error.next_step().empty());
    }
}

TEST_CASE("a web page is no manifest, and says what it is") {
    Step page = get(kTagUrl);
    page.headers = {{"Content-Type", "text/html; charset=utf-8"}};
    page.body = "<html><title>Welcome to the hotel</title></html>";
    Step page_head = head(kTagUrl, page.headers);
    Fixture fixture({page_head, page});
    const Error error = error_of([&] { fixture.remote.resolve(kByTag, {}); });
    CHECK(error.code() == Errc::unsupported);
    CHECK(contains(error.message(), "no image manifest, but text/html (Welcome to the hotel)"));
}

TEST_CASE("a manifest that is sent as something else is known by its content") {
    struct Row {
        std::string type;
        std::string body;
        const char* expected;
    };
    const char* const oci_index = "application/vnd.oci.image.index.v1+json";
    const char* const docker = "application/vnd.docker.distribution.manifest.v2+json";
    const std::vector<Row> rows = {
        {"application/json", R"({"manifests":[]})", oci_index},
        {"", R"({"config":{},"layers":[]})", kType.c_str()},
        {"text/plain", std::string(R"({"mediaType":")") + docker + R"("})", docker},
        {"application/octet-stream", R"({"mediaType":"x","layers":[]})", kType.c_str()},
        {kType, R"({"manifests":[]})", kType.c_str()},
    };
    for (const Row& row : rows) {
        CAPTURE(row.type);
        Step answer = get(kTagUrl);
        answer.headers = {{"Content-Type", row.type}};
        answer.body = row.body;
        Fixture fixture({head(kTagUrl, {}), answer});
        CHECK(fixture.remote.resolve(kByTag, {}).media_type == row.expected);
    }
}

TEST_CASE("of what HEAD claimed, only the digest must be right") {
    Step sent = get(kDigestUrl);
    sent.with = {{"Accept", kType + ", */*"}};
    for (const std::uint64_t claimed_size : {1UL, 5UL, 100UL << 20}) {
        Fixture fixture({sent});
        CHECK(fixture.remote.fetch_claimed(kByTag, descriptor(claimed_size), {}) == kManifest);
    }
    sent.body = "other";
    Fixture wrong({sent});
    CHECK(error_of([&] { wrong.remote.fetch_claimed(kByTag, descriptor(), {}); }).code() ==
          Errc::corrupt);
    sent.body = std::string(oci::kMaxManifestBytes + 1, ' ');
    Fixture huge({sent});
    CHECK(error_of([&] { huge.remote.fetch_claimed(kByTag, descriptor(), {}); }).code() ==
          Errc::too_large);
}

TEST_CASE("what a name stands for, by GET alone") {
    Fixture fixture({get(kTagUrl)});
    const oci::Document document = fixture.remote.fetch_named(kByTag, {});
    CHECK(document.descriptor == descriptor());
    CHECK(document.bytes == kManifest);
    CHECK(document.bytes_fetched == kManifest.size());
}

TEST_CASE("rate limits are kept, the lowest of each registry") {
    const auto limited = [](Step step, const std::string& remaining) {
        step.headers.emplace_back("ratelimit-limit", "100;w=21600");
        step.headers.emplace_back("ratelimit-remaining", remaining + ";w=21600");
        return step;
    };
    Fixture fixture(
        {limited(head(kTagUrl, {{"Content-Type", kType}, {"Docker-Content-Digest", kDigest.str()}}),
                 "9"),
         limited(Step{.url = kDigestUrl, .body = kManifest}, "7"),
         limited(Step{.url = kDigestUrl, .body = kManifest}, "8")});
    CHECK(fixture.remote.rate_limits().empty());
    fixture.remote.resolve(kByTag, {});
    fixture.remote.fetch_manifest(kByTag, descriptor(), {});
    fixture.remote.fetch_manifest(kByTag, descriptor(), {});
    const auto limits = fixture.remote.rate_limits();
    REQUIRE(limits.size() == 1);
    CHECK(limits.at("reg.example").remaining == 7);
}

TEST_CASE("a temporary failure of the registry is retried and reported") {
    Fixture fixture(
        {{.method = http::Method::head,
          .url = kTagUrl,
          .status = 429,
          .headers = {{"Retry-After", "0"}}},
         {.url = kTagUrl, .refuses = Error(Errc::timed_out, "reg.example:443 sent nothing")},
         get(kTagUrl)});
    CHECK(fixture.remote.resolve(kByTag, {}) == descriptor());
    REQUIRE(fixture.lines.size() == 2);
    CHECK(fixture.lines[0] ==
          "reg.example/a/b:1: the registry answers 429 Too Many Requests; retrying in 0.0 s "
          "(attempt 2 of 3)");
    CHECK(contains(fixture.lines[1], "reg.example:443 sent nothing; retrying"));
}

TEST_CASE("a Retry-After over the limit is an error at once") {
    Fixture fixture({{.method = http::Method::head,
                      .url = kTagUrl,
                      .status = 429,
                      .headers = {{"Retry-After", "3600"}}}});
    const Error error = error_of([&] { fixture.remote.resolve(kByTag, {}); });
    CHECK(error.code() == Errc::rate_limited);
    CHECK(contains(error.message(), "it asks to retry in 1 h 00 min"));
    CHECK(fixture.lines.empty());
}

TEST_CASE("a temporary failure of the token service is retried with the request") {
    const Step challenged{
        .method = http::Method::head,
        .url = kTagUrl,
        .status = 401,
        .headers = {{"WWW-Authenticate", R"(Bearer realm="https://auth.example/t")"}}};
    const std::string token_url = "https://auth.example/t?scope=repository%3Aa%2Fb%3Apull";
    Step answered =
        head(kTagUrl, {{"Content-Type", kType}, {"Docker-Content-Digest", kDigest.str()}});
    answered.with.emplace_back("Authorization", "Bearer SECRET");
    Fixture fixture({challenged,
                     {.url = token_url, .status = 503},
                     challenged,
                     {.url = token_url, .body = R"({"token":"SECRET"})"},
                     answered});
    CHECK(fixture.remote.resolve(kByTag, {}) == descriptor());
}

TEST_CASE("a stop request ends the wait for a retry") {
    std::stop_source stop;
    Remote remote(std::make_shared<ScriptedHttp>(std::vector<Step>{
                      {.method = http::Method::head, .url = kTagUrl, .status = 503}}),
                  FixedCredentials::none(),
                  RetryOptions{.retry = {.attempts = 3, .first_delay = 1h, .max_delay = 1h},
                               .on_retry = [&](const std::string&) { stop.request_stop(); }});
    CHECK(error_of([&] { remote.resolve(kByTag, stop.get_token()); }).code() == Errc::cancelled);
}

TEST_CASE("documents are verified against size and digest") {
    struct Row {
        std::string name;
        std::string body;
        std::uint64_t declared;
        Errc code;
        const char* message;
    };
    std::string other = kManifest;
    other[0] = '[';
    const std::uint64_t size = kManifest.size();
    const std::vector<Row> rows = {
        {"other bytes", other, size, Errc::corrupt, "expected the digest"},
        {"longer", kManifest + " ", size, Errc::corrupt, "longer than declared"},
        {"declared over the limit", kManifest, 100UL << 20, Errc::too_large, "larger than"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const bool asked = row.code != Errc::too_large;
        for (const bool manifest : {true, false}) {
            CAPTURE(manifest);
            std::vector<Step> steps;
            if (asked) steps.push_back({.url = manifest ? kDigestUrl : kBlobUrl, .body = row.body});
            Fixture fixture(steps);
            const Error error = error_of([&] {
                manifest ? fixture.remote.fetch_manifest(kByTag, descriptor(row.declared), {})
                         : fixture.remote.fetch_small_blob(kByTag, descriptor(row.declared), {});
            });
            CHECK(error.code() == row.code);
            CHECK(contains(error.message(), row.message));
            CHECK(contains(error.message(), manifest
                                                ? "cannot fetch manifest " + kDigest.short_form()
                                                : "cannot fetch blob " + kDigest.short_form()));
        }
    }
    Fixture shorter({{.url = kDigestUrl, .body = "{}"}});
    CHECK(contains(
        error_of([&] { shorter.remote.fetch_manifest(kByTag, descriptor(), {}); }).message(),
        "expected 19 bytes, the registry sent 2"));
}

TEST_CASE("a manifest is fetched by its digest, with its type in Accept") {
    Fixture fixture(
        {{.url = kDigestUrl, .with = {{"Accept", kType + ", */*"}}, .body = kManifest}});
    CHECK(fixture.remote.fetch_manifest(kByTag, descriptor(), {}) == kManifest);
}

TEST_CASE("a truncated manifest is fetched again") {
    Fixture fixture({{.url = kDigestUrl, .body = kManifest, .breaks_after = 5},
                     {.url = kDigestUrl, .body = kManifest}});
    CHECK(fixture.remote.fetch_manifest(kByTag, descriptor(), {}) == kManifest);
}

TEST_CASE("a manifest over the limit is not read when it is resolved by GET") {
    Step huge = get(kTagUrl);
    huge.body = std::string(oci::kMaxManifestBytes + 1, ' ');
    Fixture fixture({head(kTagUrl, {}), huge});
    CHECK(error_of([&] { fixture.remote.resolve(kByTag, {}); }).code() == Errc::too_large);
}

TEST_CASE("a small blob is fetched, and resumed after a failure") {
    Fixture fixture({{.url = kBlobUrl, .body = kManifest, .breaks_after = 5},
                     {.url = kBlobUrl,
                      .with = {{"Range", "bytes=5-"}},
                      .status = 206,
                      .headers = {{"Content-Range", "bytes 5-18/19"}},
                      .body = kManifest.substr(5)}});
    CHECK(fixture.remote.fetch_small_blob(kByTag, descriptor(), {}) == kManifest);
}

TEST_CASE("documents have a time limit, layers have none") {
    Step unnamed = head(kTagUrl, {});
    unnamed.has_time_limit = true;
    Step named = get(kTagUrl);
    named.has_time_limit = true;
    Fixture fixture({unnamed,
                     named,
                     {.url = kDigestUrl, .body = kManifest, .has_time_limit = true},
                     {.url = kBlobUrl, .body = kManifest, .has_time_limit = true},
                     {.url = kBlobUrl, .body = kManifest, .has_time_limit = false}});
    fixture.remote.resolve(kByTag, {});
    fixture.remote.fetch_manifest(kByTag, descriptor(), {});
    fixture.remote.fetch_small_blob(kByTag, descriptor(), {});
    BlobConnections connections(1, 0);
    fixture.remote.open_blob(kByTag, descriptor(), 0, connections, {});
}

TEST_CASE("a blob source outlives its Remote") {
    BlobConnections connections(1, 0);
    std::unique_ptr<Source> source;
    {
        Fixture fixture({{.url = kBlobUrl, .body = kManifest}});
        source = fixture.remote.open_blob(kByTag, descriptor(), 0, connections, {});
    }
    std::string text(kManifest.size(), '\0');
    CHECK(source->read(std::as_writable_bytes(std::span(text))) == kManifest.size());
    CHECK(text == kManifest);
}

}  // namespace prebake::registry::remote_test
