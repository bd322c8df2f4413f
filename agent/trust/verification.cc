#include "agent/trust/verification.h"

#include <algorithm>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/text.h"

namespace prebake::trust {
namespace {

constexpr const char* kSignatureAnnotation = "dev.cosignproject.cosign/signature";
constexpr const char* kCertificateAnnotation = "dev.sigstore.cosign/certificate";
constexpr std::size_t kShownObjections = 4;
constexpr std::size_t kMaxObjectionBytes = 300;

/// True if another attempt, or other credentials, may bring what this one did not.
bool is_about_source(Errc code) {
    return is_retryable(code) || code == Errc::cancelled || code == Errc::unauthenticated ||
           code == Errc::permission_denied || code == Errc::internal;
}

std::string names_of(const std::vector<PublicKey>& keys) {
    std::vector<std::string> files;
    files.reserve(keys.size());
    for (const PublicKey& key : keys) files.push_back(key.file());
    return joined(files, " or ");
}

/// One search for a proof.
class Search {
  public:
    Search(const Subject& subject, const std::vector<PublicKey>& keys, SignatureSource& source)
        : subject_(subject), keys_(keys), source_(source) {}

    Verdict run() {
        for (std::size_t objects = 0; !verdict_.proof; ++objects) {
            if (objects == kMaxObjects) {
                object("more than " + std::to_string(kMaxObjects) + " are left out");
                break;
            }
            std::optional<oci::Document> manifest;
            const bool is_read = attempt("", [&] { manifest = source_.next(); });
            if (is_read && !manifest) break;
            if (is_read)
                attempt(manifest->descriptor.digest.short_form(), [&] { try_object(*manifest); });
        }
        if (!verdict_.proof && has_other_key_) {
            for (const PublicKey& key : keys_) {
                if (!key.limitation().empty()) object(key.limitation());
            }
        }
        return std::move(verdict_);
    }

  private:
    /// What a registry sent may be part of it.
    void object(const std::string& text) {
        std::string objection = shorten(text, kMaxObjectionBytes);
        auto& objections = verdict_.objections;
        if (std::find(objections.begin(), objections.end(), objection) == objections.end()) {
            objections.push_back(std::move(objection));
        }
    }

    /// False if `work` threw; what is wrong with a signature becomes an objection.
    template <typename Work>
    bool attempt(const std::string& what, Work&& work) {
        try {
            std::forward<Work>(work)();
            return true;
        } catch (const Error& error) {
            if (is_about_source(error.code())) throw;
            object((what.empty() ? "" : "signature " + what + ": ") + error.message());
            return false;
        }
    }

    void try_object(const oci::Document& manifest) {
        if (manifest.bytes.size() > kMaxObjectBytes) {
            throw Error(Errc::too_large, "its manifest is too large");
        }
        const oci::Manifest parsed =
            oci::parse_manifest(manifest.descriptor.media_type, manifest.bytes);
        bool has_signature = false;
        for (const oci::Descriptor& layer : parsed.layers) {
            const bool is_bundle = layer.media_type.starts_with(kBundleTypePrefix);
            if (!is_bundle && layer.media_type != kSimpleSigningType) continue;
            has_signature = true;
            if (++tried_ > kMaxSignatures) {
                return object("more than " + std::to_string(kMaxSignatures) + " are left out");
            }
            const std::string name = manifest.descriptor.digest.short_form();
            attempt(name, [&] { try_layer(manifest, layer, is_bundle); });
            if (verdict_.proof) return;
        }
        if (!has_signature) throw Error(Errc::unsupported, "it has no payload and no bundle");
    }

    void try_layer(const oci::Document& manifest, const oci::Descriptor& layer, bool is_bundle) {
        if (layer.size > kMaxSignatureBytes) {
            throw Error(Errc::too_large, "it is too large for a signature");
        }
        const auto annotation = layer.annotations.find(kSignatureAnnotation);
        if (!is_bundle && annotation == layer.annotations.end()) {
            throw Error(Errc::corrupt,
                        "it lacks the annotation " + std::string(kSignatureAnnotation));
        }
        oci::Document blob = source_.blob(layer);
        const Signature signature = is_bundle ? read_bundle(blob.bytes, subject_)
                                              : read_simple_signing(blob.bytes, annotation->second);
        const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const PublicKey& one) {
            return one.verifies(signature.message, signature.bytes);
        });
        if (key == keys_.end()) {
            has_other_key_ = true;
            const bool is_keyless = layer.annotations.contains(kCertificateAnnotation);
            throw Error(Errc::untrusted, is_keyless
                                             ? "it was made without a key of its own (keyless)"
                                             : "it was not made by " + names_of(keys_));
        }
        require_subject(signature, subject_);
        verdict_.proof = Proof{.key = key->fingerprint(),
                               .key_file = key->file(),
                               .form = std::string(to_string(signature.form)),
                               .manifest = manifest,
                               .blob = std::move(blob)};
    }

    const Subject& subject_;
    const std::vector<PublicKey>& keys_;
    SignatureSource& source_;
    Verdict verdict_;
    std::size_t tried_ = 0;
    bool has_other_key_ = false;  ///< a signature that no key verified
};

}  // namespace

Verdict find_proof(const Subject& subject, const std::vector<PublicKey>& keys,
                   SignatureSource& source) {
    return Search(subject, keys, source).run();
}

std::string summary_of(const std::vector<std::string>& objections) {
    if (objections.empty()) return "none was found";
    std::string text;
    for (std::size_t i = 0; i < std::min(objections.size(), kShownObjections); ++i) {
        text += (i == 0 ? "" : "; ") + objections[i];
    }
    if (objections.size() > kShownObjections) {
        text += "; and " + std::to_string(objections.size() - kShownObjections) + " more";
    }
    return text;
}

}  // namespace prebake::trust
