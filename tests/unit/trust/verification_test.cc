#include "agent/trust/verification.h"

#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/oci/blob_of.h"
#include "tests/unit/trust/signing_key.h"

namespace prebake::trust {
namespace {

using oci::test::blob_of;
using test::SigningKey;
using tests::contains;
using tests::thrown_by;

const std::string kProvenBytes = R"({"schemaVersion":2,"layers":[]})";
const Subject kProvenSubject{.digest = oci::Digest::of(kProvenBytes), .bytes = kProvenBytes};
const std::string kManifestType = "application/vnd.oci.image.manifest.v1+json";

/// A layer of a signature object.
struct SignatureLayer {
    std::string media_type;
    std::string bytes;
    std::string annotations = {};  ///< JSON members
};

SignatureLayer simple_layer(const std::string& payload, const std::string& signature,
                            const std::string& more = {}) {
    return {.media_type = std::string(kSimpleSigningType),
            .bytes = payload,
            .annotations = R"("dev.cosignproject.cosign/signature":")" + base64_encode(signature) +
                           "\"" + more};
}

SignatureLayer bundle_layer(const std::string& bundle) {
    return {.media_type = "application/vnd.dev.sigstore.bundle.v0.3+json", .bytes = bundle};
}

std::string object_of(const std::vector<SignatureLayer>& layers) {
    std::string list;
    for (const SignatureLayer& layer : layers) {
        list += (list.empty() ? "" : ",") + std::string(R"({"mediaType":")") + layer.media_type +
                R"(","digest":")" + oci::Digest::of(layer.bytes).str() + R"(","size":)" +
                std::to_string(layer.bytes.size()) + R"(,"annotations":{)" + layer.annotations +
                "}}";
    }
    return R"({"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json",)"
           R"("digest":")" +
           oci::Digest::of("{}").str() + R"(","size":2},"layers":[)" + list + "]}";
}

/// Signature objects in memory.
class MemorySignatures final : public SignatureSource {
  public:
    MemorySignatures& add(const std::vector<SignatureLayer>& layers) {
        const std::string manifest = object_of(layers);
        objects_.push_back({.descriptor = blob_of(manifest, kManifestType), .bytes = manifest});
        for (const SignatureLayer& layer : layers) {
            blobs_.emplace(oci::Digest::of(layer.bytes), layer.bytes);
        }
        return *this;
    }
    MemorySignatures& fail(Errc code) {
        failures_.emplace(objects_.size(), code);
        return *this;
    }
    MemorySignatures& lose_blobs() {
        blobs_.clear();
        return *this;
    }
    std::size_t asked() const { return asked_; }

    std::optional<oci::Document> next() override {
        ++asked_;
        if (const auto failure = failures_.extract(position_)) {
            throw Error(failure.mapped(), "the source failed");
        }
        if (position_ == objects_.size()) return std::nullopt;
        return objects_[position_++];
    }
    oci::Document blob(const oci::Descriptor& descriptor) override {
        const auto found = blobs_.find(descriptor.digest);
        if (found == blobs_.end()) throw Error(Errc::not_found, "no such blob");
        return {.descriptor = descriptor, .bytes = found->second};
    }

  private:
    std::vector<oci::Document> objects_;
    oci::DigestMap<std::string> blobs_;
    std::map<std::size_t, Errc> failures_;
    std::size_t position_ = 0;
    std::size_t asked_ = 0;
};

/// What the cases share: making keys takes time.
struct Signers {
    SigningKey ours = SigningKey::on_curve("P-256");
    SigningKey theirs = SigningKey::on_curve("P-384");
    std::string payload = test::simple_signing_payload(kProvenSubject.digest.str());
    std::string statement = test::sign_statement(kProvenSubject.digest.hex());
    std::vector<PublicKey> keys{ours.public_key("ours.pub")};

    SignatureLayer simple(const SigningKey& by) const {
        return simple_layer(payload, by.sign(payload));
    }
    SignatureLayer bundle(const SigningKey& by) const {
        return bundle_layer(test::bundle_with(statement, by.sign(test::encoding_of(statement))));
    }
};

TEST_CASE("a signature by a key proves the image, in each form") {
    const Signers at;
    MemorySignatures simple;
    simple.add({at.simple(at.ours)});
    const Verdict by_payload = find_proof(kProvenSubject, at.keys, simple);
    REQUIRE(by_payload.proof);
    CHECK(by_payload.proof->key == at.keys.front().fingerprint());
    CHECK(by_payload.proof->key_file == "ours.pub");
    CHECK(by_payload.proof->form == "cosign");
    CHECK(by_payload.proof->blob.bytes == at.payload);
    CHECK(oci::Digest::of(by_payload.proof->manifest.bytes) ==
          by_payload.proof->manifest.descriptor.digest);

    MemorySignatures bundle;
    bundle.add({at.bundle(at.ours)});
    const Verdict by_bundle = find_proof(kProvenSubject, at.keys, bundle);
    REQUIRE(by_bundle.proof);
    CHECK(by_bundle.proof->form == "bundle");
}

TEST_CASE("one good signature among others is enough, and nothing is asked for after it") {
    const Signers at;
    MemorySignatures source;
    source.add({at.bundle(at.theirs)})
        .add({{.media_type = "text/plain", .bytes = "hello"}})
        .add({at.simple(at.theirs), at.simple(at.ours)})
        .add({at.simple(at.theirs)});
    const Verdict verdict = find_proof(kProvenSubject, at.keys, source);
    REQUIRE(verdict.proof);
    CHECK(source.asked() == 3);
    CHECK(verdict.objections.size() == 3);
}

TEST_CASE("without a good signature there is no proof, and each reason is named") {
    const Signers at;
    const std::string other = test::simple_signing_payload(oci::Digest::of("other").str());
    struct Row {
        std::string name;
        SignatureLayer layer;
        std::string reason;
    };
    const std::vector<Row> rows = {
        {"another key", at.simple(at.theirs), "not made by ours.pub"},
        {"another key, in a bundle", at.bundle(at.theirs), "not made by ours.pub"},
        {"another image", simple_layer(other, at.ours.sign(other)), "another image"},
        {"a signature of another payload", simple_layer(at.payload, at.ours.sign(other)),
         "not made by ours.pub"},
        {"a signature of the bare statement",
         bundle_layer(test::bundle_with(at.statement, at.ours.sign(at.statement))),
         "not made by ours.pub"},
        {"keyless",
         simple_layer(at.payload, at.theirs.sign(at.payload),
                      R"(,"dev.sigstore.cosign/certificate":"x")"),
         "keyless"},
        {"no annotation",
         {.media_type = std::string(kSimpleSigningType), .bytes = at.payload},
         "lacks the annotation"},
        {"no bundle", bundle_layer("{}"), "no bundle of version"},
        {"too large", bundle_layer(std::string(kMaxSignatureBytes + 1, ' ')), "too large"},
        {"nothing", {.media_type = "text/plain", .bytes = "x"}, "no payload and no bundle"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        MemorySignatures source;
        source.add({row.layer});
        const Verdict verdict = find_proof(kProvenSubject, at.keys, source);
        CHECK_FALSE(verdict.proof);
        REQUIRE(verdict.objections.size() == 1);
        CHECK_MESSAGE(contains(verdict.objections.front(), row.reason), verdict.objections.front());
    }
    MemorySignatures lost;
    lost.add({at.simple(at.ours)}).lose_blobs();
    CHECK_FALSE(find_proof(kProvenSubject, at.keys, lost).proof);
    MemorySignatures none;
    const Verdict verdict = find_proof(kProvenSubject, at.keys, none);
    CHECK_FALSE(verdict.proof);
    CHECK(verdict.objections.empty());
    CHECK(summary_of(verdict.objections) == "none was found");
    // A key that cannot check everything is a reason only where there is something to check.
    const std::vector<PublicKey> ed25519{SigningKey::ed25519().public_key()};
    MemorySignatures empty;
    CHECK(find_proof(kProvenSubject, ed25519, empty).objections.empty());
    MemorySignatures foreign;
    foreign.add({at.simple(at.theirs)});
    CHECK(find_proof(kProvenSubject, ed25519, foreign).objections.size() ==
          (ed25519.front().limitation().empty() ? 1 : 2));
    // Without keys nothing can be proven.
    MemorySignatures good;
    good.add({at.simple(at.ours)});
    CHECK_FALSE(find_proof(kProvenSubject, {}, good).proof);
}

TEST_CASE("a source that fails does not make an image unsigned, but an object may be broken") {
    const Signers at;
    for (const Errc code : {Errc::unavailable, Errc::timed_out, Errc::rate_limited, Errc::cancelled,
                            Errc::unauthenticated, Errc::permission_denied}) {
        MemorySignatures source;
        source.fail(code).add({at.simple(at.ours)});
        CHECK(thrown_by([&] { find_proof(kProvenSubject, at.keys, source); }).code() == code);
    }
    for (const Errc code : {Errc::corrupt, Errc::unsupported, Errc::too_large, Errc::not_found}) {
        MemorySignatures source;
        source.fail(code).add({at.simple(at.ours)});
        CHECK(find_proof(kProvenSubject, at.keys, source).proof);
    }
}

TEST_CASE("the number of objects and of signatures is bounded") {
    const Signers at;
    MemorySignatures objects;
    for (std::size_t i = 0; i < kMaxObjects; ++i) {
        objects.add({{.media_type = "text/plain", .bytes = std::to_string(i)}});
    }
    objects.add({at.simple(at.ours)});
    CHECK_FALSE(find_proof(kProvenSubject, at.keys, objects).proof);
    CHECK(objects.asked() == kMaxObjects);

    std::vector<SignatureLayer> layers;
    for (std::size_t i = 0; i < kMaxSignatures; ++i) {
        layers.push_back(simple_layer(std::to_string(i), "x"));
    }
    layers.push_back(at.simple(at.ours));
    MemorySignatures signatures;
    signatures.add(layers);
    const Verdict verdict = find_proof(kProvenSubject, at.keys, signatures);
    CHECK_FALSE(verdict.proof);
    // One reason for all that have the same one.
    REQUIRE(verdict.objections.size() == 2);
    CHECK(contains(verdict.objections.back(), "more than 256 are left out"));
}

TEST_CASE("a summary has the first reasons, and the number of the others") {
    CHECK(summary_of({"a", "b"}) == "a; b");
    CHECK(summary_of({"a", "b", "c", "d", "e", "f"}) == "a; b; c; d; and 2 more");
}

}  // namespace
}  // namespace prebake::trust
