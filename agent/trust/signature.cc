#include "agent/trust/signature.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/hex.h"
#include "agent/oci/json_field.h"

namespace prebake::trust {
namespace {

constexpr std::string_view kPayloadType = "cosign container image signature";
constexpr std::string_view kStatementType = "application/vnd.in-toto+json";
constexpr std::string_view kSignPredicate = "https://sigstore.dev/cosign/sign/v1";
constexpr std::array<std::string_view, 2> kStatementVersions{"https://in-toto.io/Statement/v1",
                                                             "https://in-toto.io/Statement/v0.1"};
constexpr std::array<std::string_view, 4> kBundleTypes{
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle.v0.3+json"};
/// One statement may be about several artifacts. As many as Sigstore's own verifier reads.
constexpr std::size_t kMaxSubjects = 1024;
/// The largest are of RSA keys with 8192 bits: 1 kB.
constexpr std::size_t kMaxSignature = 4096;

template <typename Known>
bool contains(const Known& known, std::string_view word) {
    return std::find(known.begin(), known.end(), word) != known.end();
}

std::string shown(const std::string& text) {
    constexpr std::size_t kShown = 100;
    return "\"" + shorten(printable(text), kShown) + "\"";
}

std::string decoded(std::string_view text, std::string_view what, std::size_t limit) {
    auto bytes = base64_decode(text);
    if (!bytes || bytes->empty()) {
        throw Error(Errc::corrupt, std::string(what) + (bytes ? " is empty" : " is no base64"));
    }
    if (bytes->size() > limit) throw Error(Errc::too_large, std::string(what) + " is too long");
    return *std::move(bytes);
}

/// DSSE's pre-authentication encoding (protocol.md): the lengths tell where a part ends.
std::string encoded_for_signing(std::string_view type, std::string_view body) {
    std::string text = "DSSEv1 " + std::to_string(type.size()) + " ";
    text += type;
    text += " " + std::to_string(body.size()) + " ";
    text += body;
    return text;
}

Error wrong_image(const std::string& signed_digest) {
    return Error(Errc::corrupt, "it signs another image: " +
                                    (signed_digest.empty() ? "none" : shown(signed_digest)));
}

/// Its bundle has to name a public key.
void require_key(const oci::JsonField& material) {
    for (const char* name : {"certificate", "x509CertificateChain"}) {
        if (!material.member(name).is_there()) continue;
        throw Error(Errc::unsupported,
                    "it was made without a key of its own (keyless): prebake cannot check its "
                    "certificate, which takes Sigstore's roots and its transparency log");
    }
    if (!material.member("publicKey").is_there()) {
        throw Error(Errc::corrupt, "it does not say what it was signed with");
    }
    material.member("publicKey").require_object();
}

Signature read_envelope(const oci::JsonField& envelope) {
    const std::string type = envelope.member("payloadType").text();
    if (type != kStatementType) {
        throw Error(Errc::unsupported,
                    "its envelope holds " + shown(type) + ", not " + std::string(kStatementType));
    }
    const std::vector<oci::JsonField> signatures = envelope.member("signatures").elements(1);
    if (signatures.empty()) throw Error(Errc::corrupt, "its envelope has no signature");
    std::string statement =
        decoded(envelope.member("payload").text(), "its statement", kMaxSignatureBytes);
    std::string message = encoded_for_signing(type, statement);
    return {
        .form = SignatureForm::bundle,
        .bytes = decoded(signatures.front().member("sig").text(), "its signature", kMaxSignature),
        .message = std::move(message),
        .statement = std::move(statement)};
}

/// A signature of the subject's own bytes.
Signature read_message_signature(const oci::JsonField& message, const Subject& subject) {
    const oci::JsonField digest = message.member("messageDigest");
    if (digest.member("algorithm").text() != "SHA2_256") {
        throw Error(Errc::unsupported,
                    "its digest is " + shown(digest.member("algorithm").text()) + ", not SHA2_256");
    }
    const std::string hash = decoded(digest.member("digest").text(), "its digest", kMaxSignature);
    const std::string hex = to_hex(std::as_bytes(std::span(hash)));
    if (hex != subject.digest.hex()) throw wrong_image("sha256:" + hex);
    if (oci::Digest::of(subject.bytes) != subject.digest) {
        throw Error(Errc::not_found, "the manifest that it signs is not there");
    }
    return {.form = SignatureForm::bundle,
            .bytes = decoded(message.member("signature").text(), "its signature", kMaxSignature),
            .message = std::string(subject.bytes),
            .statement = std::nullopt};
}

void require_simple_signing(const oci::JsonField& payload, const Subject& subject) {
    const oci::JsonField critical = payload.member("critical");
    const std::string type = critical.member("type").text();
    if (type != kPayloadType) {
        throw Error(Errc::unsupported, "its payload is " + shown(type) + ", not \"" +
                                           std::string(kPayloadType) + "\"");
    }
    const std::string digest = critical.member("image").member("docker-manifest-digest").text();
    if (digest != subject.digest.str()) throw wrong_image(digest);
}

void require_statement(const oci::JsonField& statement, const Subject& subject) {
    const std::string type = statement.member("_type").text();
    if (!contains(kStatementVersions, type)) {
        throw Error(Errc::unsupported, shown(type) + " is no version of in-toto's statement");
    }
    // cosign itself takes any attestation by the key for a signature, also "has vulnerabilities".
    const std::string predicate = statement.member("predicateType").text();
    if (predicate != kSignPredicate) {
        throw Error(Errc::unsupported,
                    "it is an attestation (" + shown(predicate) + "), not a signature");
    }
    std::string other;
    for (const oci::JsonField& one : statement.member("subject").elements(kMaxSubjects)) {
        const std::string hex = one.member("digest").member("sha256").text();
        if (hex == subject.digest.hex()) return;
        other = "sha256:" + hex;
    }
    throw wrong_image(other);
}

}  // namespace

std::string_view to_string(SignatureForm form) {
    switch (form) {
        case SignatureForm::simple_signing:
            return "cosign";
        case SignatureForm::bundle:
            return "bundle";
    }
    return "";
}

Signature read_simple_signing(const std::string& payload, std::string_view annotation) {
    return {.form = SignatureForm::simple_signing,
            .bytes = decoded(annotation, "its annotation with the signature", kMaxSignature),
            .message = payload,
            .statement = payload};
}

Signature read_bundle(std::string_view json, const Subject& subject) {
    const oci::JsonDocument document(json, kMaxSignatureBytes);
    const oci::JsonField bundle = document.root();
    const std::string type = bundle.member("mediaType").text();
    if (!contains(kBundleTypes, type)) {
        throw Error(Errc::unsupported, shown(type) + " is no bundle of version 0.1 to 0.3");
    }
    require_key(bundle.member("verificationMaterial"));
    const oci::JsonField envelope = bundle.member("dsseEnvelope");
    const oci::JsonField message = bundle.member("messageSignature");
    if (envelope.is_there() == message.is_there()) {
        throw Error(Errc::corrupt,
                    envelope.is_there() ? "it has two contents" : "it has no content");
    }
    return envelope.is_there() ? read_envelope(envelope) : read_message_signature(message, subject);
}

void require_subject(const Signature& signature, const Subject& subject) {
    if (!signature.statement) return;
    const oci::JsonDocument document(*signature.statement, kMaxSignatureBytes);
    switch (signature.form) {
        case SignatureForm::simple_signing:
            return require_simple_signing(document.root(), subject);
        case SignatureForm::bundle:
            return require_statement(document.root(), subject);
    }
}

}  // namespace prebake::trust
