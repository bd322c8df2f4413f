#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "agent/oci/digest.h"

/// Signatures as their files have them. Pure: no key is used here. What cannot be a signature of an
/// image throws Error (corrupt, unsupported, too_large) with the reason why it does not count.
namespace prebake::trust {

/// Larger payloads and bundles are refused: real ones have a few kB. An attestation may be larger,
/// but is no signature.
inline constexpr std::size_t kMaxSignatureBytes = 128UL << 10;

/// What a signature has to be about. The digest is the one that names get: of the index if the
/// image has one. cosign signs what a tag resolves to, so that is the index, too. A signature of
/// one platform's manifest says nothing about the index, which anybody who may push can write
/// around a signed manifest.
struct Subject {
    oci::Digest digest;
    std::string_view bytes;  ///< of the manifest or index with that digest
};

enum class SignatureForm {
    simple_signing,  ///< cosign's classic form: a payload, and the signature in an annotation
    bundle,          ///< a Sigstore bundle, cosign's form from 3.0 on
};
/// "cosign" or "bundle"
std::string_view to_string(SignatureForm form);

/// A signature, and the bytes that it was computed over.
struct Signature {
    SignatureForm form;
    std::string bytes;
    std::string message;
    /// What the message says about an image. Nothing: the message is the subject itself.
    std::optional<std::string> statement;
};

/// cosign SIGNATURE_SPEC.md: `payload` is a layer, `annotation` the base64 text of its
/// "dev.cosignproject.cosign/signature".
Signature read_simple_signing(const std::string& payload, std::string_view annotation);

/// A Sigstore bundle, version 0.1 to 0.3, as JSON (protobuf-specs, sigstore_bundle.proto) with a
/// DSSE envelope around an in-toto statement, or with a signature of the manifest itself. Bundles
/// with certificates (keyless signing) do not count: whether the certificate was valid cannot be
/// known offline.
Signature read_bundle(std::string_view json, const Subject& subject);

/// Checks that what was signed is this image. To be called when a key has verified the signature.
/// The payload's docker-reference does not count, as for cosign: an image may be mirrored.
void require_subject(const Signature& signature, const Subject& subject);

}  // namespace prebake::trust
