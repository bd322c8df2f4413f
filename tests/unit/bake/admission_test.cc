#include "agent/bake/admission.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/bake/recorded_image.h"
#include "agent/bake/signature_check.h"
#include "agent/bake/survey.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/containerd/memory_containerd.h"
#include "tests/unit/oci/blob_of.h"
#include "tests/unit/registry/fixed_credentials.h"
#include "tests/unit/registry/scripted_http.h"
#include "tests/unit/store/baked_into.h"
#include "tests/unit/trust/signing_key.h"

namespace prebake::bake::admission_test {

using containerd::fake::MemoryContainerd;
using oci::test::blob_of;
using registry::Step;
using tests::contains;
using tests::thrown_by;
using trust::test::SigningKey;

const std::string kCri(store::kCriNamespace);
const std::string kName = "reg.example/app:1";
const std::string kBase = "https://reg.example/v2/app";
const std::string kManifestType = "application/vnd.oci.image.manifest.v1+json";

trust::Rule rule_for(const std::string& pattern, const std::string& key_file) {
    return {.match = {trust::RepositoryPattern::parse(pattern)},
            .key_files = {key_file},
            .origin = "prebake.toml:1"};
}

/// A containerd that has kName in k8s.io, baked, and a registry that has a signature of it.
struct Fixture {
    MemoryContainerd containerd;
    containerd::Connection connection{containerd.socket(), {}};
    v1::BakedImage baked = store::test::bake_into(containerd, kName);
    const std::string target = baked.target().digest();
    SigningKey key = SigningKey::on_curve("P-256");
    SigningKey other_key = SigningKey::on_curve("P-256");
    std::string payload = trust::test::simple_signing_payload(target);
    std::string object = object_with(key.sign(payload));

    std::string object_with(const std::string& signature) const {
        return R"({"schemaVersion":2,"config":)" +
               store::test::json_of(blob_of("{}", "application/vnd.oci.image.config.v1+json")) +
               R"(,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json",)"
               R"("digest":")" +
               oci::Digest::of(payload).str() + R"(","size":)" + std::to_string(payload.size()) +
               R"(,"annotations":{"dev.cosignproject.cosign/signature":")" +
               base64_encode(signature) + R"("}}]})";
    }

    trust::VerifierPrograms verifiers = {};

    trust::Policy policy_of(std::vector<trust::Rule> rules) const {
        return {std::move(rules), [this](const std::string& file) -> std::string {
                    if (file == "ours.pub") return key.public_pem();
                    if (file == "other.pub") return other_key.public_pem();
                    throw Error(Errc::not_found, "no such file " + file);
                }};
    }

    Step image_head() const {
        return {.method = http::Method::head,
                .url = kBase + "/manifests/1",
                .headers = {{"Content-Type", baked.target().media_type()},
                            {"Docker-Content-Digest", target}},
                .length = baked.target().size()};
    }
    std::string sig_tag() const {
        return kBase + "/manifests/sha256-" + oci::Digest::parse(target).hex() + ".sig";
    }
    Step no_referrers() const {
        return {.url = kBase + "/referrers/" + target,
                .body = R"({"schemaVersion":2,"manifests":[]})"};
    }
    Step sig_head() const {
        return {.method = http::Method::head,
                .url = sig_tag(),
                .headers = {{"Content-Type", kManifestType},
                            {"Docker-Content-Digest", oci::Digest::of(object).str()}},
                .length = object.size()};
    }
    Step no_sig() const { return {.method = http::Method::head, .url = sig_tag(), .status = 404}; }
    /// HEAD alone may be refused.
    Step no_sig_by_get() const { return {.url = sig_tag(), .status = 404}; }
    std::vector<Step> signed_script() const {
        return {image_head(),
                no_referrers(),
                sig_head(),
                {.url = kBase + "/manifests/" + oci::Digest::of(object).str(), .body = object},
                {.url = kBase + "/blobs/" + oci::Digest::of(payload).str(), .body = payload}};
    }

    PlannedImage plan(const trust::Policy& policy, std::vector<Step> script,
                      ImageRequest request = request_for(kName)) const {
        registry::Remote remote(
            std::make_shared<registry::ScriptedHttp>(std::move(script)),
            registry::FixedCredentials::none(),
            registry::RetryOptions{.retry = {.attempts = 1}, .on_retry = nullptr});
        return survey({std::move(request)}, {}, remote, connection, {policy, verifiers}, nullptr, 1)
            .plan.images.front();
    }

    static ImageRequest request_for(const std::string& name) {
        return {.reference = oci::Reference::parse(name),
                .platform = oci::Platform::host(),
                .namespaces = {kCri},
                .aliases = {},
                .origin = "test"};
    }

    /// The recorded image with the signature, whose objects are in the store.
    v1::BakeRecord record_with_signature() {
        containerd.add_blob(kCri, object);
        containerd.add_blob(kCri, payload);
        const PlannedImage planned = plan(policy_of({rule_for("reg.example/**", "ours.pub")}),
                                          {image_head(), no_referrers(), sig_head()});
        REQUIRE(planned.image);
        v1::BakeRecord record;
        baked.set_name(kName);
        *record.add_images() = baked;
        for (const trust::Proof& proof : planned.image->proofs) {
            *record.mutable_images(0)->add_signatures() = record_of(proof);
        }
        return record;
    }
};

TEST_CASE("an image that no rule is about is not asked for signatures") {
    const Fixture at;
    for (const trust::Policy& policy :
         {trust::Policy(), at.policy_of({rule_for("quay.io/**", "missing.pub")})}) {
        const PlannedImage planned = at.plan(policy, {at.image_head()});
        REQUIRE(planned.image);
        CHECK(planned.image->proofs.empty());
    }
}

TEST_CASE("a required signature is found, and becomes part of the image") {
    const Fixture at;
    const PlannedImage planned =
        at.plan(at.policy_of({rule_for("reg.example/*", "ours.pub")}), at.signed_script());
    REQUIRE(planned.image);
    REQUIRE(planned.image->proofs.size() == 1);
    const v1::Signature recorded = record_of(planned.image->proofs.front());
    CHECK(recorded.key() == at.key.public_key().fingerprint());
    CHECK(recorded.key_file() == "ours.pub");
    CHECK(recorded.form() == "cosign");
    CHECK(recorded.manifest().digest() == oci::Digest::of(at.object).str());
    CHECK(recorded.manifest().size() == at.object.size());
    CHECK(recorded.blob().digest() == oci::Digest::of(at.payload).str());
    CHECK(planned.image->proofs.front().blob.bytes_fetched == at.payload.size());
}

TEST_CASE("an image without the required signature is a problem that names rule, key and digest") {
    const Fixture at;
    struct Row {
        std::string key;
        std::vector<Step> script;
        std::string reason;
    };
    const std::vector<Row> rows = {
        {"ours.pub",
         {at.image_head(), at.no_referrers(), at.no_sig(), at.no_sig_by_get()},
         "none was found"},
        {"other.pub", at.signed_script(), "not made by other.pub"},
        {"missing.pub", {at.image_head()}, "no key of it can be used"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.reason);
        const PlannedImage planned =
            at.plan(at.policy_of({rule_for("reg.example/*", row.key)}), row.script);
        CHECK_FALSE(planned.image);
        REQUIRE(planned.problem);
        CHECK(planned.problem->code() == Errc::untrusted);
        CHECK(contains(planned.problem->message(), "the rule at prebake.toml:1"));
        CHECK_MESSAGE(contains(planned.problem->message(), row.reason), planned.problem->message());
        CHECK_FALSE(planned.problem->next_step().empty());
    }
}

TEST_CASE("a registry that fails during the search for signatures is no refusal") {
    const Fixture at;
    const PlannedImage planned =
        at.plan(at.policy_of({rule_for("reg.example/*", "ours.pub")}),
                {at.image_head(),
                 at.no_referrers(),
                 {.method = http::Method::head, .url = at.sig_tag(), .status = 503}});
    REQUIRE(planned.problem);
    CHECK(planned.problem->code() == Errc::unavailable);
}

TEST_CASE("an alias counts, and the signature comes from where the image is") {
    const Fixture at;
    ImageRequest request = Fixture::request_for(kName);
    request.aliases = {oci::Reference::parse("docker.io/library/app:1")};
    const trust::Policy policy = at.policy_of({rule_for("docker.io/library/*", "ours.pub")});
    CHECK(at.plan(policy, at.signed_script(), request).image);
    const PlannedImage planned = at.plan(
        policy, {at.image_head(), at.no_referrers(), at.no_sig(), at.no_sig_by_get()}, request);
    REQUIRE(planned.problem);
    CHECK(planned.problem->code() == Errc::untrusted);
}

TEST_CASE("--verify-key is not about CRI's sandbox image, a rule is") {
    const Fixture at;
    ImageRequest sandbox = Fixture::request_for(kName);
    sandbox.is_sandbox = true;
    CHECK(at.plan(at.policy_of({trust::rule_of_verify_key({"other.pub"})}), {}, sandbox).image);
    const PlannedImage planned =
        at.plan(at.policy_of({rule_for("reg.example/*", "ours.pub")}),
                {at.no_referrers(), at.no_sig(), at.no_sig_by_get()}, sandbox);
    REQUIRE(planned.problem);
    CHECK(planned.problem->code() == Errc::untrusted);
}

TEST_CASE("containerd's image verifiers are asked about each name, not about CRI's own image") {
    Fixture at;
    const TemporaryDirectory directory;
    const auto script = directory.path() / "verifier";
    std::ofstream(script)
        << "#!/bin/sh\ncase $2 in reg.example/*) exit 0;; esac\necho no\nexit 1\n";
    REQUIRE(::chmod(script.c_str(), 0755) == 0);
    at.verifiers.directory = directory.path();
    CHECK(at.plan({}, {at.image_head()}).image);
    ImageRequest request = Fixture::request_for(kName);
    request.aliases = {oci::Reference::parse("docker.io/library/app:1")};
    const PlannedImage planned = at.plan({}, {at.image_head()}, request);
    REQUIRE(planned.problem);
    CHECK(planned.problem->code() == Errc::untrusted);
    CHECK(contains(planned.problem->message(), "exit status 1): no"));
    request.is_sandbox = true;
    CHECK(at.plan({}, {}, request).image);
}

TEST_CASE("signature objects that are stored are not fetched again") {
    Fixture at;
    const v1::BakeRecord record = at.record_with_signature();
    REQUIRE(record.images(0).signatures_size() == 1);
    // A repair stores what is there again, with its labels.
    const ResolvedImage restored = resolve_stored(record.images(0), at.connection);
    REQUIRE(restored.proofs.size() == 1);
    CHECK(restored.proofs.front().manifest.bytes == at.object);
    CHECK(restored.proofs.front().blob.bytes == at.payload);
    at.containerd.remove_blob(kCri, oci::Digest::of(at.payload).str());
    CHECK(resolve_stored(record.images(0), at.connection).proofs.empty());
}

TEST_CASE("a signature is verified again from the store alone") {
    Fixture at;
    const v1::BakeRecord record = at.record_with_signature();
    const auto check = [&](const std::vector<trust::Rule>& rules) {
        return check_signatures(record, at.policy_of(rules), at.connection, {});
    };
    const SignatureCheck good = check({rule_for("reg.example/**", "ours.pub")});
    CHECK(good.verified == 1);
    CHECK(good.findings.empty());
    CHECK(good.notes.empty());
    // The key is known from a rule about something else.
    CHECK(check({rule_for("quay.io/**", "ours.pub")}).verified == 1);

    const SignatureCheck without = check({});
    CHECK(without.verified == 0);
    CHECK(without.findings.empty());
    REQUIRE(without.notes.size() == 1);
    CHECK(contains(without.notes.front(), "1 signature not checked"));
    CHECK(contains(without.notes.front(), at.key.public_key().fingerprint()));

    struct Row {
        std::string key;
        std::string found;
    };
    for (const Row& row : {Row{"other.pub", "not made by other.pub"},
                           Row{"missing.pub", "no key of it can be used"}}) {
        CAPTURE(row.key);
        const SignatureCheck bad = check({rule_for("reg.example/**", row.key)});
        REQUIRE(bad.findings.size() == 1);
        const store::Finding& finding = bad.findings.front();
        CHECK(finding.kind == store::FindingKind::untrusted);
        CHECK(finding.check == store::Check::signatures);
        CHECK(finding.ns == kCri);
        CHECK(contains(finding.object, at.target));
        CHECK(contains(finding.expected, row.key));
        CHECK_MESSAGE(contains(finding.found, row.found), finding.found);
    }
}

TEST_CASE("a rule about an image that was baked without a signature is a finding") {
    Fixture at;
    v1::BakeRecord record;
    *record.add_images() = at.baked;
    record.mutable_images(0)->set_name(kName);
    const trust::Policy policy = at.policy_of({rule_for("reg.example/**", "ours.pub")});
    const SignatureCheck checked = check_signatures(record, policy, at.connection, {});
    REQUIRE(checked.findings.size() == 1);
    CHECK(checked.findings.front().kind == store::FindingKind::untrusted);
    CHECK(contains(checked.findings.front().found, "not required when the image was baked"));
    CHECK(
        check_signatures(record, policy, at.connection, {.namespaces = {"moby"}}).findings.empty());
    // CRI's sandbox image, and a key of the command line.
    const trust::Policy by_flag = at.policy_of({trust::rule_of_verify_key({"ours.pub"})});
    CHECK(check_signatures(record, by_flag, at.connection, {}).findings.size() == 1);
    CHECK(check_signatures(record, by_flag, at.connection, {.sandbox = kName}).findings.empty());
}

TEST_CASE("a signature object that is lost or changed is a finding") {
    for (const bool is_required : {true, false}) {
        CAPTURE(is_required);
        Fixture at;
        v1::BakeRecord record = at.record_with_signature();
        const trust::Policy policy =
            at.policy_of({rule_for(is_required ? "reg.example/**" : "quay.io/**", "ours.pub")});
        const auto kind =
            is_required ? store::FindingKind::untrusted : store::FindingKind::signature_lost;
        const auto kind_found = [&] {
            const SignatureCheck checked = check_signatures(record, policy, at.connection, {});
            REQUIRE(checked.findings.size() == 1);
            return checked.findings.front().kind;
        };
        at.containerd.remove_blob(kCri, oci::Digest::of(at.payload).str());
        CHECK(kind_found() == kind);
        at.containerd.add_blob(kCri, at.payload);
        // The record leads to a signature of another image.
        record.mutable_images(0)->mutable_target()->set_digest(oci::Digest::of("other").str());
        CHECK(kind_found() == kind);
    }
}

}  // namespace prebake::bake::admission_test
