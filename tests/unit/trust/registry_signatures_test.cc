#include "agent/trust/registry_signatures.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/oci/blob_of.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"

namespace prebake::trust {
namespace {

using namespace std::chrono_literals;
using oci::test::blob_of;
using registry::Step;
using tests::contains;
using tests::thrown_by;

const std::string kListedManifestType = "application/vnd.oci.image.manifest.v1+json";
const std::string kListIndexType = "application/vnd.oci.image.index.v1+json";
const std::string kSignedBundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
const oci::Digest kListSubject = oci::Digest::of("subject");
const std::string kListUrl = "https://reg.example/v2/app/referrers/" + kListSubject.str();
const std::string kSigTagUrl =
    "https://reg.example/v2/app/manifests/sha256-" + kListSubject.hex() + ".sig";

/// Documents that are asked for by digest are their own names.
class NamedDocuments final : public oci::DocumentSource {
  public:
    oci::Document manifest(const oci::Descriptor& descriptor) override {
        if (descriptor.digest == oci::Digest::of("lie")) {
            throw Error(Errc::not_found, "there is no such document");
        }
        return {.descriptor = descriptor, .bytes = descriptor.digest.str()};
    }
    oci::Document config(const oci::Descriptor& descriptor) override {
        return manifest(descriptor);
    }
};

struct Listed {
    std::string name;
    std::string artifact_type = {};
    std::string predicate = {};
    std::string media_type = kListedManifestType;
};

Step list_of(const std::vector<Listed>& referrers) {
    std::string children;
    for (const Listed& one : referrers) {
        children += (children.empty() ? "" : ",") + std::string(R"({"mediaType":")") +
                    one.media_type + R"(","digest":")" + oci::Digest::of(one.name).str() +
                    R"(","size":7)";
        if (!one.artifact_type.empty()) {
            children += R"(,"artifactType":")" + one.artifact_type + "\"";
        }
        if (!one.predicate.empty()) {
            children +=
                R"(,"annotations":{"dev.sigstore.bundle.predicateType":")" + one.predicate + "\"}";
        }
        children += "}";
    }
    return {.url = kListUrl, .body = R"({"schemaVersion":2,"manifests":[)" + children + "]}"};
}

Step sig_tag(const std::string& name) {
    return {.method = http::Method::head,
            .url = kSigTagUrl,
            .headers = {{"Content-Type", kListedManifestType},
                        {"Docker-Content-Digest", oci::Digest::of(name).str()}},
            .length = 7};
}

Step no_sig_tag(int status = 404) {
    return {.method = http::Method::head, .url = kSigTagUrl, .status = status};
}

/// HEAD alone may be refused.
Step no_sig_tag_by_get(int status = 404) {
    return {.url = kSigTagUrl, .status = status};
}

/// The names of all objects, or what next() threw.
std::vector<std::string> found_with(std::vector<Step> steps,
                                    const std::vector<std::string>& names) {
    registry::Remote remote(
        std::make_shared<registry::ScriptedHttp>(std::move(steps)),
        registry::FixedCredentials::none(),
        {.retry = {.attempts = 1, .first_delay = 1ms, .max_delay = 5ms}, .on_retry = nullptr});
    NamedDocuments documents;
    RegistrySignatures source(remote, documents, oci::Reference::parse("reg.example/app:1"),
                              kListSubject, {});
    std::vector<std::string> found;
    for (int i = 0; i < 20; ++i) {
        try {
            const auto document = source.next();
            if (!document) return found;
            for (const std::string& name : names) {
                if (document->bytes == oci::Digest::of(name).str()) found.push_back(name);
            }
        } catch (const Error& error) {
            found.push_back(error.message());
        }
    }
    FAIL("next() does not come to an end");
    return found;
}

TEST_CASE("referrers that may be signatures come first, then what has the tag") {
    const std::vector<std::string> names{"bundle", "classic", "untyped", "sbom",
                                         "index",  "tagged",  "signed",  "of cosign 3.1"};
    CHECK(
        found_with(
            {list_of(
                 {{"sbom", "application/spdx+json"},
                  {"bundle", kSignedBundle},
                  {"classic", "application/vnd.dev.cosign.artifact.sig.v1+json"},
                  {"untyped"},
                  {"of cosign 3.1", "application/vnd.oci.empty.v1+json"},
                  {"signed", kSignedBundle, "https://sigstore.dev/cosign/sign/v1"},
                  {.name = "index", .artifact_type = kSignedBundle, .media_type = kListIndexType}}),
             sig_tag("tagged")},
            names) == std::vector<std::string>{"bundle", "classic", "untyped", "of cosign 3.1",
                                               "signed", "tagged"});
    CHECK(found_with({list_of({}), no_sig_tag(), no_sig_tag_by_get()}, names).empty());
}

TEST_CASE("GET by the tag decides if what HEAD names cannot be had") {
    const Step got{.url = kSigTagUrl,
                   .headers = {{"Content-Type", kListedManifestType}},
                   .body = oci::Digest::of("of GET").str()};
    CHECK(found_with({list_of({}), sig_tag("lie"), got}, {"of GET"}) ==
          std::vector<std::string>{"of GET"});
    CHECK(contains(found_with({list_of({}), sig_tag("lie"), no_sig_tag_by_get(403)}, {}).at(0),
                   "403"));
}

TEST_CASE("what else refers to the image is a reason, once for each kind") {
    const auto found = found_with({list_of({{"a", kSignedBundle, "https://slsa.dev/provenance/v1"},
                                            {"b", kSignedBundle, "https://slsa.dev/provenance/v1"},
                                            {"n", "application/vnd.cncf.notary.signature"}}),
                                   no_sig_tag(), no_sig_tag_by_get()},
                                  {});
    REQUIRE(found.size() == 2);
    CHECK(contains(found[0], "signature of the Notary Project"));
    CHECK(contains(found[1], "attestation"));
}

TEST_CASE(
    "a registry that cannot list referrers may have the tag; without it the reason is shown") {
    const Step broken{.url = kListUrl, .status = 500};
    const auto found = found_with({broken, sig_tag("tagged")}, {"tagged"});
    REQUIRE(found.size() == 2);
    CHECK(found[0] == "tagged");
    CHECK(contains(found[1], "500"));
    CHECK(contains(found_with({broken, no_sig_tag(), no_sig_tag_by_get()}, {}).at(0), "500"));
    CHECK(contains(found_with({list_of({}), no_sig_tag(503)}, {}).at(0), "503"));
}

}  // namespace
}  // namespace prebake::trust
