#include "agent/registry/remote.h"

#include <doctest/doctest.h>

#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::registry {
namespace {

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
    Step not_allowed = head(kTagUrl, {});
    not_allowed.status = 405;
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
        {"HEAD not allowed", kByTag, {not_allowed, get(kTagUrl)}},
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

TEST_CASE("a tag with a digest is not requested") {
    Fixture fixture(
        {head(kDigestUrl, {{"Content-Type", kType}, {"Docker-Content-Digest", kDigest.str()}})});
    const auto both = oci::Reference::parse("reg.example/a/b:1@" + kDigest.str());
    CHECK(fixture.remote.resolve(both, {}).digest == kDigest);
}

TEST_CASE("a digest must resolve to itself") {
    Fixture by_header({head(
        kDigestUrl, {{"Content-Type", kType}, {"Docker-Content-Digest", kOtherDigest.str()}})});
    Error error = error_of([&] { by_header.remote.resolve(kByDigest, {}); });
    CHECK(error.code() == Errc::corrupt);
    CHECK(contains(error.message(), kOtherDigest.str()));
    CHECK(contains(error.message(), kDigest.str()));

    Step other = get(kDigestUrl);
    other.body = "other";
    Fixture by_body({head(kDigestUrl, {}), other});
    error = error_of([&] { by_body.remote.resolve(kByDigest, {}); });
    CHECK(error.code() == Errc::corrupt);
    CHECK(contains(error.message(), kOtherDigest.str()));
}

TEST_CASE("errors of resolve name the image and the cause") {
    struct Row {
        int status;
        Errc code;
        const char* message;
        int requests;
    };
    for (const Row& row : {
             Row{404, Errc::not_found,
                 "cannot resolve reg.example/a/b:1: the registry answers 404 Not Found", 1},
             Row{403, Errc::permission_denied,
                 "cannot resolve reg.example/a/b:1: it does not exist or may not be pulled with "
                 "these credentials: the registry answers 403 Forbidden",
                 1},
             Row{500, Errc::unavailable,
                 "cannot resolve reg.example/a/b:1: the registry answers 500 Internal Server Error (3 "
                 "attempts)",
                 3},
             Row{408, Errc::unavailable,
                 "cannot resolve reg.example/a/b:1: the registry answers 408 Request Timeout (3 "
                 "attempts)",
                 3},
         }) {
        CAPTURE(row.status);
        const Step step{.method = http::Method::head, .url = kTagUrl, .status = row.status};
        Fixture fixture(std::vector<Step>(static_cast<std::size_t>(row.requests), step));
        const Error error = error_of([&] { fixture.remote.resolve(kByTag, {}); });
        CHECK(error.code() == row.code);
        CHECK(error.message() == row.message);
        CHECK_FALSE(error.next_step().empty());
    }
}

TEST_CASE("a temporary failure of the registry is retried and reported") {
    const http::Headers full = {{"Content-Type", kType}, {"Docker-Content-Digest", kDigest.str()}};
    Fixture fixture({{.method = http::Method::head,
                      .url = kTagUrl,
                      .status = 429,
                      .headers = {{"Retry-After", "0"}}},
                     {.method = http::Method::head,
                      .url = kTagUrl,
                      .refuses = Error(Errc::timed_out, "reg.example:443 sent nothing")},
                     head(kTagUrl, full)});
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
    fixture.remote.open_blob(kByTag, descriptor(), 0, {});
}

TEST_CASE("a blob source outlives its Remote") {
    std::unique_ptr<Source> source;
    {
        Fixture fixture({{.url = kBlobUrl, .body = kManifest}});
        source = fixture.remote.open_blob(kByTag, descriptor(), 0, {});
    }
    std::string text(kManifest.size(), '\0');
    CHECK(source->read(std::as_writable_bytes(std::span(text))) == kManifest.size());
    CHECK(text == kManifest);
}

}  // namespace
}  // namespace prebake::registry
