#include "agent/bake/admission.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "agent/bake/registry_documents.h"
#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/store/stored_image.h"
#include "agent/trust/registry_signatures.h"

namespace prebake::bake {
namespace {

/// The manifest or index that the image's names point at.
const oci::Document& target_document(const ResolvedImage& image) {
    return image.indexes.empty() ? image.manifest : image.indexes.front();
}

Error refused(const ResolvedImage& image, const trust::Rule& rule,
              const std::vector<std::string>& objections) {
    const std::string digest = image.target.digest.str();
    const bool is_about_keys = !objections.empty();
    return Error(
        Errc::untrusted,
        "it is refused: " + trust::described(rule) + " requires a signature of " + digest + " by " +
            joined(rule.key_files, " or ") +
            (is_about_keys ? ", and what was found does not count: " : ", and none was found") +
            (is_about_keys ? trust::summary_of(objections) : ""),
        "sign it: cosign sign --key KEY " + image.request.reference.name() + "@" + digest +
            "; or correct the keys of " + trust::described(rule));
}

std::optional<oci::Document> stored(const v1::Document& recorded,
                                    const containerd::Connection& connection,
                                    const std::vector<std::string>& namespaces) {
    const oci::Descriptor descriptor = store::descriptor_of(recorded);
    try {
        auto bytes =
            store::stored_bytes(connection, namespaces, descriptor, oci::kMaxManifestBytes);
        if (!bytes) return std::nullopt;
        return oci::Document{.descriptor = descriptor, .bytes = *std::move(bytes)};
    } catch (const Error& error) {
        if (error.code() == Errc::corrupt || error.code() == Errc::too_large) return std::nullopt;
        throw;
    }
}

}  // namespace

void admit(ResolvedImage& image, const Admission& admission, registry::Remote& remote,
           const containerd::Connection& connection, DocumentCache& cache) {
    image.proofs = find_proofs(image, admission.policy, remote, connection, cache);
    if (image.request.is_sandbox && held_target(image.request, connection)) return;
    for (const oci::Reference& reference : image.request.references()) {
        const std::string name = reference.tag_name().value_or(reference.str());
        trust::require_accepted(admission.verifiers, name, image.target, connection.stop());
    }
}

std::vector<std::string> repositories_of(const ImageRequest& request) {
    std::vector<std::string> repositories;
    for (const oci::Reference& reference : request.references()) {
        repositories.push_back(reference.name());
    }
    return repositories;
}

std::vector<trust::Proof> find_proofs(const ResolvedImage& image, const trust::Policy& policy,
                                      registry::Remote& remote,
                                      const containerd::Connection& connection,
                                      DocumentCache& cache) {
    const auto named_by = image.request.is_sandbox ? trust::NamedBy::cri : trust::NamedBy::user;
    const oci::Document& target = target_document(image);
    const trust::Subject subject{.digest = target.descriptor.digest, .bytes = target.bytes};
    std::vector<trust::Proof> proofs;
    for (const trust::Rule* rule : policy.required_for(repositories_of(image.request), named_by)) {
        RegistryDocuments documents(image.request, remote, connection, cache);
        trust::RegistrySignatures signatures(remote, documents, image.request.reference,
                                             subject.digest, connection.stop());
        const std::vector<trust::PublicKey> keys = policy.keys_of(*rule);
        if (keys.empty()) {
            throw Error(Errc::untrusted,
                        "it is refused: " + trust::described(*rule) +
                            " requires a signature, and no key of it can be used",
                        "run prebake config check, which says why");
        }
        trust::Verdict verdict = in_context("cannot check its signatures", [&] {
            return trust::find_proof(subject, keys, signatures);
        });
        if (!verdict.proof) throw refused(image, *rule, verdict.objections);
        const bool is_known =
            std::any_of(proofs.begin(), proofs.end(), [&](const trust::Proof& other) {
                return other.blob.descriptor.digest == verdict.proof->blob.descriptor.digest &&
                       other.key == verdict.proof->key;
            });
        if (!is_known) proofs.push_back(*std::move(verdict.proof));
    }
    return proofs;
}

v1::Signature record_of(const trust::Proof& proof) {
    v1::Signature signature;
    signature.set_key(proof.key);
    signature.set_key_file(proof.key_file);
    signature.set_form(proof.form);
    store::set_document(*signature.mutable_manifest(), proof.manifest.descriptor);
    store::set_document(*signature.mutable_blob(), proof.blob.descriptor);
    return signature;
}

std::vector<trust::Proof> stored_proofs(const v1::BakedImage& image,
                                        const containerd::Connection& connection,
                                        const std::vector<std::string>& namespaces) {
    std::vector<trust::Proof> proofs;
    for (const v1::Signature& signature : image.signatures()) {
        auto manifest = stored(signature.manifest(), connection, namespaces);
        auto blob = stored(signature.blob(), connection, namespaces);
        if (!manifest || !blob) continue;
        proofs.push_back({.key = signature.key(),
                          .key_file = signature.key_file(),
                          .form = signature.form(),
                          .manifest = *std::move(manifest),
                          .blob = *std::move(blob)});
    }
    return proofs;
}

}  // namespace prebake::bake
