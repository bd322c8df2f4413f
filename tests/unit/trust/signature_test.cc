#include "agent/trust/signature.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/trust/signing_key.h"

namespace prebake::trust {
namespace {

using test::bundle_with;
using test::sign_statement;
using test::simple_signing_payload;
using tests::contains;
using tests::thrown_by;

const std::string kSubjectBytes = R"({"schemaVersion":2})";
const Subject kSignedSubject{.digest = oci::Digest::of(kSubjectBytes), .bytes = kSubjectBytes};
const std::string kSubjectHex = kSignedSubject.digest.hex();
const std::string kOtherHex = oci::Digest::of("other").hex();

std::string replaced(std::string text, const std::string& part, const std::string& by) {
    const std::size_t at = text.find(part);
    REQUIRE_MESSAGE(at != std::string::npos, part);
    return text.replace(at, part.size(), by);
}

TEST_CASE("a simple signing payload is the message, and names the image") {
    const std::string payload = simple_signing_payload("sha256:" + kSubjectHex);
    const Signature signature = read_simple_signing(payload, base64_encode("bytes"));
    CHECK(signature.form == SignatureForm::simple_signing);
    CHECK(signature.message == payload);
    CHECK(signature.bytes == "bytes");
    CHECK_NOTHROW(require_subject(signature, kSignedSubject));
}

TEST_CASE("payloads of other images, other kinds and other forms do not count") {
    const std::string good = simple_signing_payload("sha256:" + kSubjectHex);
    struct Row {
        std::string name;
        std::string payload;
        std::string reason;  ///< empty: it counts
    };
    const std::vector<Row> rows = {
        {"as specified, with another spelling",
         replaced(good, "docker-manifest-digest", "Docker-manifest-digest"), ""},
        {"another reference", replaced(good, "reg.example/app", "elsewhere/x"), ""},
        {"claims of the signer", replaced(good, "null", R"({"creator":"ci","x":{"y":1}})"), ""},
        {"another image", simple_signing_payload("sha256:" + kOtherHex),
         "another image: \"sha256:" + kOtherHex + "\""},
        {"no algorithm", simple_signing_payload(kSubjectHex), "another image"},
        {"upper case", simple_signing_payload("SHA256:" + kSubjectHex), "another image"},
        {"another kind", replaced(good, "cosign container image signature", "atomic container"),
         "its payload is \"atomic container\""},
        {"no kind", replaced(good, "\"type\"", "\"kind\""), "its payload is \"\""},
        {"nothing", "", "corrupt"},
        {"no object", "[]", "not an object"},
        {"no JSON", "{", ""},
        {"empty object", "{}", "its payload is \"\""},
        {"a number", replaced(good, "\"sha256:" + kSubjectHex + "\"", "7"), "not a string"},
        {"text after it", good + "x", ""},
        {"too deep", std::string(1000, '[') + std::string(1000, ']'), ""},
        {"too long", good + std::string(kMaxSignatureBytes, ' '), "bytes, allowed are"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const auto check = [&] {
            require_subject(read_simple_signing(row.payload, "AAAA"), kSignedSubject);
        };
        const bool is_good = row.name.starts_with("as specified") ||
                             row.name == "another reference" || row.name == "claims of the signer";
        if (is_good) {
            CHECK_NOTHROW(check());
            continue;
        }
        const Error error = thrown_by(check);
        if (row.reason == "corrupt") {
            CHECK(error.code() == Errc::corrupt);
        } else {
            CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
        }
    }
}

TEST_CASE("the signature in the annotation must be base64 of a signature's length") {
    for (const char* annotation : {"", "=", "A", "A*AA", "AAAA=AAA", "-_--"}) {
        CAPTURE(annotation);
        const Error error = thrown_by([&] { read_simple_signing("{}", annotation); });
        CHECK(error.code() == Errc::corrupt);
    }
    const std::string long_text = base64_encode(std::string(5000, 'x'));
    CHECK(thrown_by([&] { read_simple_signing("{}", long_text); }).code() == Errc::too_large);
}

TEST_CASE("a bundle's message is the encoding of its statement") {
    const std::string statement = sign_statement(kSubjectHex);
    const Signature signature = read_bundle(bundle_with(statement, "bytes"), kSignedSubject);
    CHECK(signature.form == SignatureForm::bundle);
    CHECK(signature.message == test::encoding_of(statement));
    CHECK(signature.bytes == "bytes");
    CHECK_NOTHROW(require_subject(signature, kSignedSubject));
}

TEST_CASE("a statement must be a signature of this image") {
    const std::string good = sign_statement(kSubjectHex);
    const std::string other = R"({"digest":{"sha256":")" + kOtherHex + R"("}},)";
    struct Row {
        std::string name;
        std::string statement;
        std::string reason;  ///< empty: it counts
    };
    const std::vector<Row> rows = {
        {"version 0.1", replaced(good, "Statement/v1", "Statement/v0.1"), ""},
        {"among others", replaced(good, R"("subject":[)", R"("subject":[)" + other), ""},
        {"further digests", replaced(good, R"("sha256")", R"("sha512":"00","sha256")"), ""},
        {"another image", sign_statement(kOtherHex), "another image: \"sha256:" + kOtherHex},
        {"no image", replaced(good, R"([{"digest":{"sha256":")" + kSubjectHex + R"("}}])", "[]"),
         "another image: none"},
        {"another digest's name", replaced(good, R"("sha256")", R"("sha1")"), "another image"},
        {"an attestation",
         replaced(good, "https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1"),
         "is an attestation"},
        {"another version", replaced(good, "Statement/v1", "Statement/v2"), "no version"},
        {"no JSON", "signed", " "},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const auto check = [&] {
            require_subject(read_bundle(bundle_with(row.statement, "bytes"), kSignedSubject),
                            kSignedSubject);
        };
        if (row.reason.empty()) {
            CHECK_NOTHROW(check());
        } else {
            const Error error = thrown_by(check);
            CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
        }
    }
    std::string many;
    for (int i = 0; i < 1100; ++i) many += "{},";
    const std::string crowd = replaced(good, R"("subject":[)", R"("subject":[)" + many);
    CHECK(thrown_by([&] {
              require_subject(
                  {.form = SignatureForm::bundle, .bytes = "x", .message = "x", .statement = crowd},
                  kSignedSubject);
          }).code() == Errc::too_large);
}

/// A bundle with a signature of the manifest's own bytes.
std::string message_bundle(const std::string& algorithm, const std::string& hash) {
    return R"({"mediaType":"application/vnd.dev.sigstore.bundle+json;version=0.2",)"
           R"("verificationMaterial":{"publicKey":{"hint":""}},"messageSignature":{)"
           R"("messageDigest":{"algorithm":")" +
           algorithm + R"(","digest":")" + base64_encode(hash) + R"("},"signature":"Ynl0ZXM="}})";
}

std::string hash_of(const std::string& bytes) {
    const Sha256Hash hash = oci::Digest::of(bytes).hash();
    return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

TEST_CASE("a bundle may sign the manifest itself") {
    const std::string good = message_bundle("SHA2_256", hash_of(kSubjectBytes));
    const Signature signature = read_bundle(good, kSignedSubject);
    CHECK(signature.message == kSubjectBytes);
    CHECK(signature.bytes == "bytes");
    CHECK_NOTHROW(require_subject(signature, kSignedSubject));
    CHECK(contains(thrown_by([&] {
                       read_bundle(message_bundle("SHA2_256", hash_of("other")), kSignedSubject);
                   }).message(),
                   "another image: \"sha256:" + kOtherHex));
    CHECK(thrown_by([&] {
              read_bundle(message_bundle("SHA2_512", hash_of(kSubjectBytes)), kSignedSubject);
          }).code() == Errc::unsupported);
    // Without the manifest there is nothing that a key could have signed.
    CHECK(thrown_by([&] {
              read_bundle(good, {.digest = kSignedSubject.digest, .bytes = ""});
          }).code() == Errc::not_found);
}

TEST_CASE("bundles without a key, without a content and of other versions do not count") {
    const std::string good = bundle_with(sign_statement(kSubjectHex), "bytes");
    const std::string key = R"("publicKey":{"hint":"aGludA=="})";
    struct Row {
        std::string name;
        std::string bundle;
        std::string reason;
    };
    const std::vector<Row> rows = {
        {"keyless", replaced(good, key, R"("certificate":{"rawBytes":"AAAA"})"), "keyless"},
        {"keyless, as before 0.3",
         replaced(good, key, R"("x509CertificateChain":{"certificates":[]})"), "keyless"},
        {"key and certificate", replaced(good, key, key + R"(,"certificate":{"rawBytes":"AAAA"})"),
         "keyless"},
        {"no material", replaced(good, key, ""), "does not say"},
        {"a version to come", replaced(good, "v0.3", "v0.4"), "no bundle of version"},
        {"no version", replaced(good, "mediaType", "kind"), "no bundle of version"},
        {"two contents",
         replaced(good, R"("dsseEnvelope")", R"("messageSignature":{},"dsseEnvelope")"),
         "two contents"},
        {"no content", replaced(good, "dsseEnvelope", "envelope"), "no content"},
        {"another payload", replaced(good, "vnd.in-toto+json\"", "x\""), "its envelope holds"},
        {"no signature", replaced(good, R"([{"sig":"Ynl0ZXM="}])", "[]"), "no signature"},
        {"two signatures", replaced(good, R"([{)", R"([{"sig":"AAAA"},{)"), "elements"},
        {"bad base64", replaced(good, "Ynl0ZXM=", "Ynl*"), "no base64"},
        {"a number", replaced(good, R"("Ynl0ZXM=")", "7"), "not a string"},
        {"no JSON", "<html>", ""},
        {"cut short", good.substr(0, good.size() - 3), ""},
        {"too deep", R"({"mediaType":)" + std::string(1000, '[') + "}", ""},
        {"too long", good + std::string(kMaxSignatureBytes, ' '), "bytes, allowed are"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const Error error = thrown_by([&] { read_bundle(row.bundle, kSignedSubject); });
        CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
        CHECK_FALSE(is_retryable(error.code()));
    }
}

}  // namespace
}  // namespace prebake::trust
