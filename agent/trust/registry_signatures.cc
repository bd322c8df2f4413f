#include "agent/trust/registry_signatures.h"

#include <string_view>
#include <utility>

#include "agent/base/error.h"

namespace prebake::trust {
namespace {

/// cosign's classic form, as it refers with COSIGN_EXPERIMENTAL=1 and --registry-referrers-mode.
constexpr std::string_view kCosignArtifact = "application/vnd.dev.cosign.artifact.sig.v1+json";
constexpr std::string_view kNotaryArtifact = "application/vnd.cncf.notary.signature";
constexpr std::string_view kEmptyConfig = "application/vnd.oci.empty.v1+json";
constexpr const char* kPredicateAnnotation = "dev.sigstore.bundle.predicateType";
constexpr std::string_view kSignPredicateType = "https://sigstore.dev/cosign/sign/v1";

/// What a referrer is, by what the registry lists of it. Nobody vouches for that, but what it hides
/// is only not accepted.
enum class ReferrerKind { signature, attestation, notary, other };

ReferrerKind kind_of(const oci::Descriptor& referrer) {
    if (oci::media_kind(referrer.media_type) != oci::MediaKind::manifest) {
        return ReferrerKind::other;
    }
    const std::string& type = referrer.artifact_type;
    if (type == kNotaryArtifact) return ReferrerKind::notary;
    // Some list no type, and cosign 3.1 lists that of the config for a bundle, where the registry
    // has no referrers API.
    const bool is_unknown =
        type.empty() || type == kEmptyConfig || oci::media_kind(type) == oci::MediaKind::config;
    if (!is_unknown && !type.starts_with(kBundleTypePrefix) && type != kCosignArtifact) {
        return ReferrerKind::other;
    }
    const auto predicate = referrer.annotations.find(kPredicateAnnotation);
    const bool is_attestation =
        predicate != referrer.annotations.end() && predicate->second != kSignPredicateType;
    return is_attestation ? ReferrerKind::attestation : ReferrerKind::signature;
}

}  // namespace

RegistrySignatures::RegistrySignatures(registry::Remote& remote, oci::DocumentSource& documents,
                                       oci::Reference repository, const oci::Digest& subject,
                                       std::stop_token stop)
    : remote_(remote),
      documents_(documents),
      repository_(std::move(repository)),
      subject_(subject),
      stop_(std::move(stop)) {}

std::optional<oci::Document> RegistrySignatures::next() {
    if (step_ == Step::referrers) {
        step_ = Step::listed;
        list();
    }
    if (step_ == Step::listed && !listed_.empty()) {
        const oci::Descriptor referrer = std::move(listed_.front());
        listed_.pop_front();
        return documents_.manifest(referrer);
    }
    if (step_ == Step::listed) {
        step_ = Step::end;
        if (auto document = tagged()) return document;
    }
    if (!others_.empty()) {
        throw Error(Errc::unsupported, others_.extract(others_.begin()).value());
    }
    if (unlisted_) throw Error(*std::exchange(unlisted_, std::nullopt));
    return std::nullopt;
}

/// If the registry cannot list, the tag may still have a signature: then the reason does not
/// matter.
void RegistrySignatures::list() {
    try {
        for (oci::Descriptor& referrer : remote_.referrers(repository_, subject_, stop_)) {
            switch (kind_of(referrer)) {
                case ReferrerKind::signature:
                    listed_.push_back(std::move(referrer));
                    break;
                case ReferrerKind::attestation:
                    others_.emplace("there is an attestation, which is no signature");
                    break;
                case ReferrerKind::notary:
                    others_.emplace(
                        "there is a signature of the Notary Project, which prebake does not read");
                    break;
                case ReferrerKind::other:
                    break;
            }
        }
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
        unlisted_ = error;
    }
}

std::optional<oci::Document> RegistrySignatures::tagged() {
    const oci::Reference tag{.registry = repository_.registry,
                             .repository = repository_.repository,
                             .tag = "sha256-" + subject_.hex() + ".sig",
                             .digest = {}};
    std::optional<oci::Descriptor> descriptor;
    try {
        descriptor = remote_.resolve(tag, stop_);
    } catch (const Error& error) {
        if (error.code() == Errc::not_found) return std::nullopt;
        throw;
    }
    try {
        return documents_.manifest(*descriptor);
    } catch (const Error& error) {
        if (error.code() == Errc::cancelled) throw;
    }
    // HEAD may name any digest: GET by the tag decides.
    return remote_.fetch_named(tag, stop_);
}

oci::Document RegistrySignatures::blob(const oci::Descriptor& descriptor) {
    return documents_.config(descriptor);
}

}  // namespace prebake::trust
