#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/oci/image.h"
#include "agent/trust/public_key.h"
#include "agent/trust/signature.h"

namespace prebake::trust {

/// A signature that a key has verified, with the two documents that show it again.
struct Proof {
    std::string key;       ///< its fingerprint
    std::string key_file;  ///< where it was
    std::string form;      ///< "cosign" or "bundle"
    oci::Document manifest;
    oci::Document blob;  ///< the layer with the payload or the bundle
};

/// The media types of a signature object's layers.
inline constexpr std::string_view kSimpleSigningType =
    "application/vnd.dev.cosign.simplesigning.v1+json";
inline constexpr std::string_view kBundleTypePrefix = "application/vnd.dev.sigstore.bundle";

/// Limits of what is tried for one image. A client that may push can add signatures. More than
/// these are left out: the image may then be refused, but is never accepted.
inline constexpr std::size_t kMaxObjects = 64;
inline constexpr std::size_t kMaxSignatures = 256;
/// Larger manifests are no signature objects: a signature with its certificates has 10 kB.
inline constexpr std::size_t kMaxObjectBytes = 1UL << 20;

/// Where the signature objects of one image are found. An object is a manifest whose layers are
/// payloads or bundles.
class SignatureSource {
  public:
    virtual ~SignatureSource() = default;
    /// The next manifest, verified against its digest; nothing: there are no more.
    /// @throws Error why this one cannot be had; the next call goes on.
    virtual std::optional<oci::Document> next() = 0;
    /// A layer of it, verified.
    virtual oci::Document blob(const oci::Descriptor& descriptor) = 0;
};

/// The result of a search for a signature.
struct Verdict {
    std::optional<Proof> proof;
    std::vector<std::string> objections = {};  ///< why what was found does not count
};

/// Looks for a signature of the subject by one of the keys. The first one is enough.
/// @throws Error if the source cannot be read now (is_retryable()), may not be read
/// (unauthenticated, permission_denied), or a stop was requested. Else what is wrong with a
/// signature becomes an objection.
Verdict find_proof(const Subject& subject, const std::vector<PublicKey>& keys,
                   SignatureSource& source);

/// The objections in one sentence; the first ones, if there are many.
std::string summary_of(const std::vector<std::string>& objections);

}  // namespace prebake::trust
