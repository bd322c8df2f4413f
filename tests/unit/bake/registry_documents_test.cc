#include "agent/bake/registry_documents.h"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/base/thrown.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::bake::registry_documents_test {

using namespace std::chrono_literals;
using registry::Step;

const std::string kType = "application/vnd.oci.image.manifest.v1+json";
const std::string kImage = "reg.example/app:1";
const std::string kManifests = "https://reg.example/v2/app/manifests/";

std::string manifest_with(const std::string& config) {
    return R"({"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",)"
           R"("digest":")" +
           oci::Digest::of(config).str() + R"(","size":2},"layers":[]})";
}

const std::string kTrue = manifest_with("true");
const std::string kOther = manifest_with("other");

/// HEAD names the digest of another document.
Step lying_head(const std::string& name = "1") {
    return {.method = http::Method::head,
            .url = kManifests + name,
            .headers = {{"Content-Type", kType},
                        {"Docker-Content-Digest", oci::Digest::of(kOther).str()}},
            .length = kOther.size()};
}

Step by_claimed_digest(int status, const std::string& body = {}) {
    return {.url = kManifests + oci::Digest::of(kOther).str(),
            .status = status,
            .headers = {{"Content-Type", kType}},
            .body = body};
}

Step by_tag(int status = 200) {
    return {.url = kManifests + "1",
            .status = status,
            .headers = {{"Content-Type", kType}},
            .body = status == 200 ? kTrue : ""};
}

/// Without namespaces, so that containerd is not asked.
oci::Descriptor target_of(const std::string& image, std::vector<Step> script) {
    registry::Remote remote(
        std::make_shared<registry::ScriptedHttp>(std::move(script)),
        registry::FixedCredentials::none(),
        {.retry = {.attempts = 2, .first_delay = 1ms, .max_delay = 1ms}, .on_retry = nullptr});
    const containerd::Connection connection("/no/containerd.sock", {});
    DocumentCache cache;
    const ImageRequest request{.reference = oci::Reference::parse(image),
                               .platform = oci::Platform::host(),
                               .namespaces = {},
                               .aliases = {},
                               .origin = "test"};
    return RegistryDocuments(request, remote, connection, cache).target();
}

TEST_CASE("GET by the name decides if the digest that HEAD names cannot be had") {
    struct Row {
        std::string name;
        std::vector<Step> answers;  ///< to GET by the digest that HEAD named
        Errc failure;               ///< of the first GET
    };
    const std::vector<Row> rows = {
        {"no such digest", {by_claimed_digest(404)}, Errc::not_found},
        {"no such method", {by_claimed_digest(405)}, Errc::unsupported},
        {"not allowed", {by_claimed_digest(403)}, Errc::permission_denied},
        {"not logged in", {by_claimed_digest(401)}, Errc::unauthenticated},
        {"a rule against it", {by_claimed_digest(412)}, Errc::failed_precondition},
        {"bytes of another digest", {by_claimed_digest(200, kTrue)}, Errc::corrupt},
        {"nothing", {by_claimed_digest(200)}, Errc::corrupt},
        {"a server error, also after the retry",
         {by_claimed_digest(500), by_claimed_digest(500)},
         Errc::unavailable},
        {"a broken connection, also after the retry",
         {{.url = by_claimed_digest(200).url, .refuses = Error(Errc::timed_out, "too slow")},
          {.url = by_claimed_digest(200).url, .refuses = Error(Errc::timed_out, "too slow")}},
         Errc::timed_out},
        {"too many requests, also after the retry",
         {by_claimed_digest(429), by_claimed_digest(429)},
         Errc::rate_limited},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::vector<Step> script{lying_head()};
        script.insert(script.end(), row.answers.begin(), row.answers.end());
        std::vector<Step> failing = script;
        script.push_back(by_tag());
        const oci::Descriptor target = target_of(kImage, script);
        CHECK(target.digest == oci::Digest::of(kTrue));
        CHECK(target.size == kTrue.size());
        // If both fail, the first failure says why.
        failing.push_back(by_tag(451));
        CHECK(tests::thrown_by([&] { target_of(kImage, failing); }).code() == row.failure);
    }
}

TEST_CASE("a claim that is temporarily not served is asked for again before the name is") {
    CHECK(target_of(kImage, {lying_head(), by_claimed_digest(503), by_claimed_digest(200, kOther)})
              .digest == oci::Digest::of(kOther));
}

TEST_CASE("what has no other name does not change because of a failure") {
    const std::string digest = oci::Digest::of(kOther).str();
    for (const int status : {403, 404}) {
        CAPTURE(status);
        CHECK_THROWS_AS(
            target_of("reg.example/app@" + digest, {lying_head(digest), by_claimed_digest(status)}),
            Error);
    }
}

TEST_CASE("a stop is no failure of the claim") {
    const Step stopped{.url = by_claimed_digest(200).url,
                       .refuses = Error(Errc::cancelled, "stop")};
    CHECK(tests::thrown_by([&] {
              target_of(kImage, {lying_head(), stopped});
          }).code() == Errc::cancelled);
    Step stopped_later = by_tag();
    stopped_later.refuses = Error(Errc::cancelled, "stop");
    CHECK(tests::thrown_by([&] {
              target_of(kImage, {lying_head(), by_claimed_digest(403), stopped_later});
          }).code() == Errc::cancelled);
}

}  // namespace prebake::bake::registry_documents_test
